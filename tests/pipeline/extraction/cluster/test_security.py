"""Who can talk to a scheduler of star's: nobody without its certificate."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from star.errors import MachineError, MissingPackage
from star.pipeline.checks.verify import verify
from star.pipeline.extraction.cluster.driver import _private, cluster, is_open
from star.pipeline.recipe import schema as recipes

STRANGER = """
import sys
from distributed import Client
from distributed.security import Security

for address in (sys.argv[1], sys.argv[1].replace("tls", "tcp")):
    for security in (None, Security.temporary()):
        try:
            client = Client(address, timeout=5, security=security)
            print("inside", client.submit(int, 7).result(5))
        except (OSError, TimeoutError, ValueError, TypeError, RuntimeError) as error:
            print("outside")
"""


def test_nobody_else_runs_code_on_a_cluster_of_devices() -> None:
    """Another process that knows the address gets in neither without a certificate nor with one of its own."""
    with cluster(None, ("cpu",)) as client:
        assert client.scheduler.address.startswith("tls://127.0.0.1:")
        assert client.submit(sum, [3, 4]).result(120) == 7
        words = [sys.executable, "-c", STRANGER, client.scheduler.address]
        said = subprocess.run(words, capture_output=True, text=True, check=True, timeout=300).stdout
        worker = next(iter(client.scheduler_info()["workers"]))
        assert worker.startswith("tls://")
    assert said.split() == ["outside"] * 4


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("tcp://127.0.0.1:8786", False), ("tcp://localhost:8786", False), ("tcp://[::1]:8786", False),
        ("127.0.0.1:8786", False), ("tls://head:8786", False), ("tcp://head:8786", True), ("head:8786", True),
        ("tcp://10.0.0.1:8786", True), ("tcp://[fe80::1]:8786", True), ("ws://head:8786", True),
        ("wss://head:8786", False),
    ],
)  # fmt: skip
def test_open_schedulers(address: str, expected: bool) -> None:
    """An address beyond this machine without encryption is one that gets a warning."""
    assert is_open(address) is expected


def test_a_scheduler_with_certificates_that_we_lack() -> None:
    """tls:// without a certificate in Dask's settings is one line, exit code 5."""
    with (
        pytest.raises(MachineError, match=r"^--scheduler tls://127\.0\.0\.1:9: no Dask scheduler answers there"),
        cluster("tls://127.0.0.1:9", ("cpu",)),
    ):
        pass


def test_without_the_package_no_door_is_opened() -> None:
    """No certificate can be made: no cluster, and the way out is named."""

    class Security:
        @staticmethod
        def temporary() -> None:
            raise ImportError("cryptography")

    with pytest.raises(MissingPackage, match=r"pip install cryptography"):
        _private(Security)


WITHIN_S = 300  # generous: a busy machine takes long, and nothing is timed
PAGE = Path(__file__).resolve().parents[4] / "docs" / "clusters.md"


def commands(beginning: str) -> str:
    """The block of commands in docs/clusters.md that begins so."""
    blocks = re.findall(r"^```(?:bash|python)?\n(.*?)^```", PAGE.read_text(), re.M | re.S)
    return next(block for block in blocks if block.startswith(beginning))


@contextmanager
def started(words: list[str], environment: dict[str, str], folder: Path) -> Iterator[Path]:
    """A process as a person starts it; yields the file of what it says."""
    log = folder / f"{words[1]}.log"
    with log.open("w") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", *words],
            env=environment,
            cwd=folder,
            start_new_session=True,
            stdout=file,
            stderr=file,
        )
    try:
        yield log
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def said(log: Path, pattern: str) -> str:
    """Waits for a process to say something."""
    until = time.monotonic() + WITHIN_S
    while not (found := re.search(pattern, log.read_text())):
        assert time.monotonic() < until, log.read_text()
        time.sleep(0.1)
    return found[1]


@pytest.mark.soak
@pytest.mark.skipif(os.name != "posix", reason="the page's commands are a shell's")
@pytest.mark.parametrize("how", ["openssl", "python"])
def test_the_certificates_of_the_page(how: str, extracted: Path, tmp_path: Path) -> None:
    """docs/clusters.md, its very commands: scheduler, worker and star find each other, a stranger gets in nowhere."""
    if how == "openssl" and not shutil.which("openssl"):
        pytest.skip("needs openssl")
    make, _, rest = commands("openssl req").partition("\n")
    exports = rest.partition("dask scheduler")[0]
    if how == "openssl":
        subprocess.run(["bash", "-c", make], cwd=tmp_path, check=True, capture_output=True)
    else:
        subprocess.run([sys.executable, "-c", commands("from pathlib")], cwd=tmp_path, check=True)
    assert (tmp_path / "dask-key.pem").stat().st_mode & 0o077 == 0
    told = subprocess.run(["bash", "-c", f"{exports}env"], cwd=tmp_path, check=True, capture_output=True, text=True)
    given = dict(line.split("=", 1) for line in told.stdout.splitlines() if line.startswith("DASK_DISTRIBUTED__COMM__"))
    assert len(given) == 8
    environment = os.environ | given | {"OMP_NUM_THREADS": "1"}
    shutil.copytree(extracted.parent / "cache", tmp_path / "cache")
    recipe = tmp_path / "star.yaml"
    recipe.write_text(extracted.read_text().replace(str(extracted.parent), str(tmp_path)))
    words = ["dask", "scheduler", "--protocol", "tls", "--host", "127.0.0.1", "--port", "0", "--no-dashboard"]
    with started(words, environment, tmp_path) as log:
        address = said(log, r"Scheduler at:\s+(tls://\S+)")
        with started(["dask", "worker", address, "--nthreads", "1", "--no-nanny"], environment, tmp_path / "cache"):
            command = [sys.executable, "-m", "star.cli", "extract", str(recipe), "--set", "heatmaps.sigma=2", "-q"]
            command += ["--scheduler", address, "--workers", "1", "--device", "cpu"]
            done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
            assert (done.returncode, done.stderr) == (0, "")
            more = [word.replace("sigma=2", "sigma=3") for word in command]
            without = subprocess.run(more, capture_output=True, text=True, check=False)
            assert without.returncode == 5 and "no Dask scheduler answers there" in without.stderr
            stranger = [sys.executable, "-c", STRANGER, address]
            tried = subprocess.run(stranger, capture_output=True, text=True, check=True, timeout=WITHIN_S).stdout
            assert tried.split() == ["outside"] * 4
    assert not verify(recipes.load(recipe, ("heatmaps.sigma=2",)), quiet=True).problems
