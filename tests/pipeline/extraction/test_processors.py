"""One cache, several kinds of processor: rows of a laptop without bfloat16 beside those of a machine that has it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from star.stages.precision import X86, compute_precision, platform

DESKTOP = {"ONEDNN_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "avx2"}
RECIPE = """
dataset: {{kind: drawn, root: {root}}}
cache: {{root: {cache}, segment: 6}}
pose: {{source: mmpose, model: drawn-13, detector: frame}}
backbone: {{weights: random, size: 32, batch: 4}}
model: {{width: 16, heads: 2, encoder_layers: 1, decoder_layers: 1}}
train: {{epochs: 1, batch: 8, precision: auto, tensorboard: false}}
"""


def star(*arguments: str, **environment: str) -> Any:
    """A command of a real process, as a user types it; returns its --json."""
    result = subprocess.run(
        [sys.executable, "-m", "star", *arguments, "-q", "--json"],
        check=False, capture_output=True, text=True, env={**os.environ, **environment},
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


@pytest.mark.skipif(platform.machine() not in X86, reason="sets x86's instruction sets")
def test_a_desktop_and_this_machine_fill_one_cache(drawn: Path, tmp_path: Path) -> None:
    """The same keys, each row's arithmetic in its provenance; verify, audit, train and test take both."""
    recipe = tmp_path / "star.yaml"
    recipe.write_text(RECIPE.format(root=drawn, cache=tmp_path / "cache"))
    here = compute_precision("bfloat16")
    first = star("extract", str(recipe), "--shard", "1/2", **DESKTOP)
    assert first["backbone_precision"] == {"float32": first["clips"]}
    keys = sorted(path.name for path in (tmp_path / "cache" / "backbone").iterdir())
    second = star("extract", str(recipe))
    assert second["backbone_precision"] == {here: second["clips"]}
    assert keys == sorted(path.name for path in (tmp_path / "cache" / "backbone").iterdir())

    found = star("verify", str(recipe))
    rows = {"float32": first["clips"]}
    rows[here] = rows.get(here, 0) + second["clips"]
    assert (found["backbone_precision"], found["problems"]) == (rows, [])
    audit = star("extract", str(recipe), "--audit", "24", **DESKTOP)
    assert (audit["computed_in"], audit["cached_in"]) == ("float32", rows)
    assert {array["within"] for array in audit["arrays"].values()} == {24}
    for name, environment, used in (("desktop", DESKTOP, "float32"), ("here", {}, here)):
        assert star("train", str(recipe), "--run", str(tmp_path / name), **environment)["precision"] == used
    assert 0 <= star("test", str(recipe), "--run", str(tmp_path / "here"), **DESKTOP)["top1"] <= 1
    row = next(row for row in star("doctor", **DESKTOP)["checks"] if row["name"] == "arithmetic")
    assert row["found"].startswith("cpu is fast in float32 alone; extract: backbone in float32")
