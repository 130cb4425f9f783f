"""`make bench-gpu` in tiny sizes on a processor: rows are kept, and a second call measures what is lacking."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "benchmarks"))
import bench_gpu  # noqa: E402


def measure(folder: Path, *groups: str) -> None:
    words = ["--tiny", "--device", "cpu", "--folder", str(folder), "--work", str(folder / "work"), "--seconds", "900"]
    bench_gpu.main([*words, "--only", *groups])


def test_a_second_call_measures_what_is_lacking(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The ceilings come first and once; every way of the stem gives the same numbers."""
    measure(tmp_path, "stem")
    assert "ceilings …" in capsys.readouterr().err
    measure(tmp_path, "stem", "training")
    told = capsys.readouterr().err
    assert "training …" in told
    assert "stem" not in told
    records = bench_gpu.kept(tmp_path / "benchmarks-gpu.jsonl")
    assert [record["group"] for record in records] == ["ceilings", "stem", "training"]
    assert all(record["ended"] == "" for record in records)
    stems = records[1]["rows"]
    assert len(stems) == 5
    assert all(float(row["note"].removeprefix("deviation ")) < 1e-5 for row in stems)
    assert all(row["share"] > 0 for row in stems)
    page = (tmp_path / "benchmarks-gpu.md").read_text()
    assert "no figure here counts" in page
    assert "training step, 320 tokens" in page


def test_a_group_that_fails_is_a_row_and_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With its last line; what was measured before it stays."""
    monkeypatch.setattr(bench_gpu, "measure", lambda asked, group, *others: "failed: out of memory")
    with pytest.raises(SystemExit, match="failed: ceilings, stem"):
        measure(tmp_path, "stem")
    assert "| stem | | | | | **failed: out of memory** | |" in (tmp_path / "benchmarks-gpu.md").read_text()
    with pytest.raises(SystemExit):
        measure(tmp_path, "stem")
    assert "stem …" in capsys.readouterr().err


def test_without_a_gpu_it_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One line and the exit status of a machine that lacks something."""
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(SystemExit) as caught:
        bench_gpu.main(["--folder", str(tmp_path)])
    assert caught.value.code == 5
