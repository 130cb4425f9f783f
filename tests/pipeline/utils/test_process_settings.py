"""Freed memory stays with the process: counted in page faults, in a process of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from star.pipeline.checks.verify import verify
from star.pipeline.recipe import schema as recipes
from star.pipeline.utils import process_settings

PROGRAM = """
import resource, sys, threading
import numpy as np
from star.pipeline.utils import process_settings

kept = process_settings.reuse_freed_memory() if sys.argv[1] == "keep" else True

def layers(count):
    x = y = np.ones(24 << 20, np.uint8)
    for _ in range(count):
        x, y = np.ones(24 << 20, np.uint8), x  # as in a residual block: two results are alive, and a third is made

def work():
    layers(3)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    layers(10)
    print(kept, resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)

thread = threading.Thread(target=work)
thread.start()
thread.join()
"""


def faults(mode: str) -> int:
    """Page faults of ten layers of 24 MiB in a thread."""
    said = subprocess.run([sys.executable, "-c", PROGRAM, mode], check=True, capture_output=True, text=True).stdout
    kept, count = said.split()
    if kept != "True":
        pytest.skip("the C library is not glibc")
    return int(count)


def test_what_is_freed_is_used_again() -> None:
    assert faults("give back") > 1000  # were all pages small, it would be 61,440
    assert faults("keep") < 100


@pytest.mark.parametrize(
    ("platform", "given", "found"), [("darwin", None, "1"), ("darwin", "0", "0"), ("linux", None, None)]
)
def test_apples_gpu_may_fall_back_to_the_processor(
    platform: str, given: str | None, found: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Set before torch is imported, only where there is such a GPU, and never over the user's own choice."""
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.delenv("PYTORCH_ENABLE_MPS_FALLBACK", raising=False)
    if given is not None:
        monkeypatch.setenv("PYTORCH_ENABLE_MPS_FALLBACK", given)
    process_settings.allow_mps_fallback()
    assert os.environ.get("PYTORCH_ENABLE_MPS_FALLBACK") == found


@pytest.mark.skipif(os.name != "posix", reason="closes streams as a shell does")
@pytest.mark.parametrize("closed", ["2>&-", ">&- 2>&-", "<&- >&- 2>&-"])
def test_closed_streams_are_no_files_of_ours(closed: str, tmp_path: Path) -> None:
    """The numbers 0 to 2 belong to /dev/null, in the process and in its children, and nothing is opened under them."""
    program = (
        "import os, subprocess, sys\n"
        "from star.pipeline.utils import process_settings\n"
        "process_settings.fill_standard_streams()\n"
        "file = open(sys.argv[1], 'w')\n"
        "print('for nobody', file=sys.stderr)\n"
        "look = 'import os; print(*(os.path.realpath(f\"/proc/self/fd/{n}\") for n in range(3)))'\n"
        "said = subprocess.run([sys.executable, '-c', look], stdout=subprocess.PIPE, text=True).stdout\n"
        "file.write(f'{file.fileno() > 2} {said.split()[2]}')\n"
    )
    told = tmp_path / "told"
    command = f'exec "$0" -c "$1" "$2" {closed}'
    subprocess.run(["sh", "-c", command, sys.executable, program, str(told)], check=True, timeout=120)
    assert told.read_text().split()[0] == "True"
    if sys.platform == "linux":
        assert told.read_text().split()[1] == "/dev/null"


@pytest.mark.skipif(os.name != "posix", reason="closes streams as a shell does")
def test_an_extraction_without_stderr(extracted: Path, tmp_path: Path) -> None:
    """It ends well, progress and all, and what it wrote is sound."""
    shutil.copytree(extracted.parent / "cache", tmp_path / "cache")
    recipe = tmp_path / "star.yaml"
    recipe.write_text(extracted.read_text().replace(str(extracted.parent), str(tmp_path)))
    words = "extract $1 --set heatmaps.sigma=2 --workers 1 --device cpu >&- 2>&-"
    subprocess.run(["sh", "-c", f'exec "$0" -m star.cli {words}', sys.executable, str(recipe)], check=True, timeout=300)
    assert not verify(recipes.load(recipe, ("heatmaps.sigma=2",)), quiet=True).problems
