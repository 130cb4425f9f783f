"""`make bench` makes one page of all claims: rows, verdicts, and what failed or could not be run."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "benchmarks"))
import bench  # noqa: E402
import page  # noqa: E402

SCRIPTS = {
    "misses": """
from claims import claim, skipped
claim("speed of a snail", 1.5, "m/h", against="a hare", other=30_000, ratio=0.00005, goal=(">=", 1), why="Short legs.")
claim("weight of a snail", 20, "g", goal=("<", 25), why="Not to be seen.")
claim("years of a snail", 7, "a")
claim("seconds a snail gains", -1, "s", goal=("<", 1))
skipped("speed against a horse", "no horse here")
""",
    "fails": "raise ValueError('cannot read /some/folder/of/mine/file.h5: empty')",
    "lacks": "from claims import unable\nunable('needs a GPU')",
    "unmet": "import a_package_that_nobody_has",
}


@pytest.fixture
def rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, list[str]]:
    """The cells of the page of the scripts above, by claim; and the lines of its last section under "missed"."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT / "benchmarks"))
    for name, text in SCRIPTS.items():
        script = tmp_path / f"{name}.py"
        script.write_text(text)
        bench.keep(tmp_path, bench.measure(script, ["--some", "1"], {"processor": "a made one"}), quick=False)
    table, missed = (tmp_path / "benchmarks.md").read_text().split("## What misses its goal, and why\n\n")
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines() if line[:1] == "|"]
    return {first: rest for first, *rest in cells} | {"missed": missed.splitlines()}


def test_a_claim_is_a_row_with_its_verdict(rows: dict[str, list[str]]) -> None:
    """A goal is about the ratio, or about star's own figure; the last section gives the reason of what is missed."""
    command = ["A", "`python benchmarks/misses.py --some 1`"]
    first = ["1.5 m/h", "a hare", "30,000 m/h", "5.0e-05", "≥ 1", "**MISSED**"]
    assert rows["speed of a snail"] == [*first, *command]
    assert rows["weight of a snail"] == ["20 g", "–", "–", "–", "< 25", "met", *command]
    assert rows["years of a snail"] == ["7 a", "–", "–", "–", "–", "–", *command]
    assert rows["seconds a snail gains"][5] == "skipped: less than the noise; larger sizes tell"
    assert rows["missed"] == [
        "- Short legs.",
        "  - speed of a snail, against a hare: 5.0e-05, where ≥ 1 is the goal",
    ]


def test_what_fails_or_cannot_run_is_a_row_that_says_so(rows: dict[str, list[str]]) -> None:
    """Without the folders that the error names."""
    assert rows["speed against a horse"][5] == "skipped: no horse here"
    assert rows["fails.py"][5] == "failed: ValueError: cannot read …/file.h5: empty"
    assert rows["lacks.py"][5] == "skipped: needs a GPU"
    assert rows["unmet.py"][5] == "skipped: ModuleNotFoundError: No module named 'a_package_that_nobody_has'"


def test_a_kind_of_processor_has_rows_of_its_own(tmp_path: Path) -> None:
    """The limits reach the benchmark, and stand in its command and with its machine."""
    script = tmp_path / "limit.py"
    script.write_text("import os\nfrom claims import claim\nclaim(os.environ['ONEDNN_MAX_CPU_ISA'], 1, 's')\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(ROOT / "benchmarks"))
        result = bench.measure(script, [], {"processor": "a made one"}, kind="AVX2")
    assert (result["benchmark"], result["machine"]) == ("limit@AVX2", {"processor": "a made one; held to AVX2"})
    assert result["claims"][0]["what"] == "AVX2"
    assert result["command"] == "ONEDNN_MAX_CPU_ISA=AVX2 ATEN_CPU_CAPABILITY=avx2 python benchmarks/limit.py"


def test_real_benchmarks_make_a_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Two of the fastest; what others left behind stays, a second run takes the place of the first."""
    options = ["--quick", "--folder", str(tmp_path), "--only"]
    bench.main([*options, "skeleton", "map_read"])
    bench.main([*options, "skeleton"])
    text = (tmp_path / "benchmarks.md").read_text()
    assert text in capsys.readouterr().out
    assert text.count("`python benchmarks/skeleton.py --frames 10 --rounds 1` |") == 2
    assert text.count("`python benchmarks/map_read.py --clips 64 --rounds 1` |") == 6
    assert text.index("## Pose") < text.index("## Cache reading")
    assert str(ROOT) not in text


@pytest.mark.parametrize(
    ("number", "said"), [(0, "0"), (0.99951, "1"), (99.96, "100"), (1234.5, "1,234"), (2e-5, "2.0e-05")]
)
def test_figures_have_three_digits_that_count(number: float, said: str) -> None:
    """Whole numbers keep all of theirs."""
    assert page.figure(number) == said


def test_every_benchmark_is_run() -> None:
    """A script with a `main` is in the list, and nothing else is."""
    scripts = {path.stem for path in (ROOT / "benchmarks").glob("*.py") if "def main(" in path.read_text()}
    assert {name.partition("@")[0] for name in bench.BENCHES} == scripts - {"bench", "bench_gpu"}
