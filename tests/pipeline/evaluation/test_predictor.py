"""`star predict` on a bare file: joints by mmpose, no annotation, no data set, no network."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from star.cli import main

RECIPE = """
dataset: {{kind: drawn, root: {root}}}
cache: {{root: {cache}}}
pose: {{source: mmpose, model: drawn-13, detector: frame}}
backbone: {{weights: random, size: 32}}
tokens: {{form: heatmap}}
model: {{modalities: joint, width: 16, heads: 2, encoder_layers: 1, decoder_layers: 1}}
train: {{epochs: 1, batch: 8, tensorboard: false}}
"""


def star(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in (*arguments, "-q")])


def test_a_bare_file_gets_what_star_test_gave_its_clip(drawn: Path, tmp_path: Path) -> None:
    """Copied away from its joints, and with the data set gone, a clip has the probabilities of predictions.csv."""
    root, run, recipe = tmp_path / "data", tmp_path / "run", tmp_path / "star.yaml"
    shutil.copytree(drawn, root)
    recipe.write_text(RECIPE.format(root=root, cache=tmp_path / "cache"))
    assert star("extract", recipe, "--stage", "heatmaps").exit_code == 0
    for command in ("train", "test"):
        assert star(command, recipe, "--run", run).exit_code == 0
    with (run / "test" / "predictions.csv").open() as file:
        expected = next(csv.DictReader(file))
    bare = tmp_path / "bare.mp4"
    shutil.copy(root / expected["video"], bare)
    shutil.rmtree(root)
    shutil.rmtree(tmp_path / "cache")
    result = star("predict", bare, "--run", run, "--json")
    assert result.exit_code == 0
    [answer] = json.loads(result.stdout)
    assert answer["top"][0]["class"] == expected["predicted"]
    assert answer["top"][0]["probability"] == pytest.approx(float(expected["probability"]), abs=2e-6)
