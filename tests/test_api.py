"""star from Python: the surface, its cost, the examples of docs/api.md and the notebooks."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

import star
from star.errors import StorageError, UsageError

ROOT = Path(__file__).resolve().parents[1]
EXAMPLES = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)


@pytest.fixture
def demo(small: Path, drawn: Path, tmp_path: Path) -> Path:
    """A folder with `demo` in it, as `star demo` leaves one, of small clips and small networks."""
    folder = tmp_path / "demo"
    folder.mkdir()
    shutil.copytree(drawn, folder / "data")
    shutil.move(tmp_path / "cache", folder / "cache")
    text = small.read_text().replace(str(drawn), "data").replace(str(tmp_path / "cache"), "cache")
    (folder / "star.yaml").write_text(text)
    return tmp_path


def python(*arguments: str, folder: Path) -> str:
    done = subprocess.run([sys.executable, *arguments], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def test_import_costs_no_torch_and_names_all_it_offers() -> None:
    program = (
        "import sys, star; heavy = {'torch', 'h5py', 'numpy', 'pydantic'} & set(sys.modules); "
        "print(sorted(heavy)); print([name for name in star.__all__ if getattr(star, name, None) is None])"
    )
    assert python("-c", program, folder=ROOT).split("\n")[:2] == ["[]", "[]"]
    assert set(star.__all__) <= set(dir(star))
    with pytest.raises(AttributeError):
        _ = star.nothing


def test_every_example_of_the_page_runs(demo: Path) -> None:
    """In their order, as a reader would paste them at the prompt."""
    program = "\n".join(EXAMPLES.findall((ROOT / "docs" / "api.md").read_text(encoding="utf-8")))
    printed = python("-c", program, folder=demo)
    assert "rows are missing" in printed and "backbone.size" in printed.splitlines()[-1]


def test_the_page_shows_every_name() -> None:
    page = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    missing = [name for name in star.__all__ if name not in page and name not in ("Recipe", "TrainedRun", "predict")]
    assert missing == []


def test_arrays_of_the_cache_are_the_rows(small: Path) -> None:
    """An int, a slice, numbers and numpy see the same rows, in the order of `rows`."""
    recipe = star.load_recipe(small)
    cache = star.open_cache(recipe.cache.root)
    assert {"backbone", "decode", "heatmaps", "pose", "tokens"} == set(cache)
    ((key, view),) = cache["backbone"].items()
    assert view.description["stage"] == "backbone" and view.key == key
    grid = view["global_grid"]
    assert len(grid) == len(view.rows) == grid.shape[0] and sorted(view.rows, key=lambda row: row.video_id) == view.rows
    whole = np.asarray(grid)
    assert whole.dtype == grid.dtype and whole.shape == grid.shape
    assert np.array_equal(whole[3], grid[3]) and np.array_equal(whole[[4, 1]], grid[[4, 1]])
    assert np.array_equal(whole[-2:], grid[-2:]) and grid[:0].shape == (0, *grid.shape[1:])
    planned = star.plan(recipe)
    row = view.rows[5]
    stage = planned.stages["backbone"]
    assert np.array_equal(grid[5], stage.stage_store.read([stage.places[row.video_id, row.view]], "global_grid")[0])


def test_a_cache_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="no such folder"):
        star.open_cache(tmp_path / "cache")
    with pytest.raises(UsageError, match=r"holds no recipe\.yaml"):
        star.load_run(tmp_path)


def test_the_data_set_under_a_loader_with_workers(small: Path) -> None:
    """Two reading processes give what one gives, and the labels are the data set's."""
    data = star.FeatureDataset(small, "train", arrays=["global_grid"])
    plain = list(DataLoader(data, batch_size=5))
    shared = list(DataLoader(data, batch_size=5, num_workers=2))
    assert all(torch.equal(a["global_grid"], b["global_grid"]) for a, b in zip(plain, shared, strict=True))
    clips = torch.cat([batch["clip"] for batch in plain]).tolist()
    assert clips == list(range(len(data)))
    labels = [data.classes[label] for label in torch.cat([batch["label"] for batch in plain]).tolist()]
    assert labels == [Path(name).stem.rpartition("_")[0] for name in data.videos]
    assert len(star.FeatureDataset(small, "test")) + len(data) == 24


@pytest.mark.parametrize("notebook", sorted((ROOT / "examples").glob("*.ipynb")), ids=lambda path: path.name)
def test_notebooks_run(notebook: Path, demo: Path) -> None:
    """Executed by a kernel of their own; what they assert must hold."""
    nbformat, nbclient = pytest.importorskip("nbformat"), pytest.importorskip("nbclient")
    content = nbformat.read(notebook, as_version=4)
    nbclient.NotebookClient(
        content, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(demo)}}
    ).execute()
    assert not any(cell.get("outputs") for cell in nbformat.read(notebook, as_version=4).cells), "clear the outputs"
