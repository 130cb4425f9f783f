"""`dataset.exclude`: videos left out of a data set of any kind, by id or by pattern."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from star.cli import main
from star.errors import DatasetError
from star.pipeline.datasets.base import Manifest, Video, without


def manifest(*ids: str) -> Manifest:
    """A catalogue of videos with these ids."""
    return Manifest("data", ("a",), [Video(name, 0, "train", Path(name)) for name in ids])


def star(*words: object) -> Result:
    """A command."""
    return CliRunner().invoke(main, list(map(str, words)))


def test_ids_and_patterns() -> None:
    """An id is itself, whatever is in it; a pattern is everything that it matches; the rest keep their order."""
    left = without(manifest("a/1.mp4", "a/2.mp4", "b/1.mp4", "c[1].mp4", "d.mp4"), ("a/*", "c[1].mp4"))
    assert [video.id for video in left.videos] == ["b/1.mp4", "d.mp4"]
    assert left.left_out == [(name, "dataset.exclude") for name in ("a/1.mp4", "a/2.mp4", "c[1].mp4")]


def test_what_excludes_nothing_or_everything_is_refused() -> None:
    """A pattern with a slip of the pen would leave in what should be out."""
    with pytest.raises(DatasetError, match=r"dataset.exclude: 'A/\*' is the id of no video, and matches none; one is "):
        without(manifest("a/1.mp4"), ("A/*",))
    with pytest.raises(DatasetError, match=r"dataset.exclude: '\*' leave no video; exclude fewer"):
        without(manifest("a/1.mp4"), ("*",))


def test_other_videos_keep_their_side_and_features(drawn: Path, tmp_path: Path) -> None:
    """Folds and a validation split are drawn before; `status`, `scan` and `test` see the rest; a typo is one line."""
    recipe = tmp_path / "star.yaml"
    recipe.write_text(
        f"dataset: {{kind: drawn, root: {drawn}, val_share: 0.3}}\ncache: {{root: {tmp_path}/cache}}\n"
        "backbone: {weights: random}\npose: {source: annotations}\n"
    )
    some = ["--set", "dataset.exclude=['videos/bow_*']"]
    whole, rest = (json.loads(star("scan", recipe, "--json", *extra).stdout) for extra in ([], some))
    assert rest["videos"] == whole["videos"] - next(sum(v for k, v in row.items() if k != "class")
                                                    for row in whole["classes"] if row["class"] == "bow")  # fmt: skip
    assert [row for row in rest["classes"] if row["class"] != "bow"] == [
        row for row in whole["classes"] if row["class"] != "bow"
    ]
    assert "left out by the data set: dataset.exclude" in star("scan", recipe, *some).stdout
    wrong = star("status", recipe, "--set", "dataset.exclude=['bow_*']")
    assert wrong.exit_code == 2 and wrong.stderr.count("\n") == 1 and "dataset.exclude: 'bow_*'" in wrong.stderr
