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


def test_pictures_in_memory_are_a_film(demo: Path, drawn: Path) -> None:
    """An array says what its film says, alone and window by window; another kind of array is one line."""
    import av

    recipe = star.load_recipe(demo / "demo" / "star.yaml")
    star.train(recipe, demo / "run")
    run, film = star.load_run(demo / "run"), next((drawn / "videos").glob("wave_*.mp4"))
    with av.open(str(film)) as container:
        rate = float(container.streams.video[0].average_rate)
        pictures = np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])
    over = {"pose.source": "mmpose", "pose.model": "drawn-13", "pose.detector": "frame"}
    array, plain = run.predict(pictures, film, rate=rate, **over)
    assert array["video"] == "array 0" and plain["video"] == str(film)
    assert [top["class"] for top in array["top"]] == [top["class"] for top in plain["top"]]
    found = [top["probability"] for top in array["top"]]
    assert found == pytest.approx([top["probability"] for top in plain["top"]], abs=1e-6)
    windows = [list(run.timeline(one, 0.4, 0.2, rate=rate, **over)) for one in (pictures, film)]
    assert len(windows[0]) > 2 and [w["start"] for w in windows[0]] == [w["start"] for w in windows[1]]
    assert [w["label"] for w in windows[0]] == [w["label"] for w in windows[1]]
    for wrong in (pictures[0], pictures.astype(np.float32), pictures[..., :2]):
        with pytest.raises(star.StarError, match="is no film; give pictures"):
            run.predict(wrong, **over)
    with pytest.raises(star.StarError, match=r"pose\.source=mmpose"):
        run.predict(pictures)


def test_the_example_of_a_head(demo: Path) -> None:
    said = python(str(ROOT / "examples" / "head.py"), "demo/star.yaml", folder=demo)
    assert re.fullmatch(r"\d+ of \d+ test clips, where guessing gives \d+\n", said)


def test_the_example_of_a_time_line(demo: Path) -> None:
    star.train(star.load_recipe(demo / "demo" / "star.yaml"), demo / "run")
    film = next((demo / "demo" / "data" / "videos").glob("wave_*.mp4"))
    said = python(str(ROOT / "examples" / "timeline.py"), "run", str(film), "out.mp4", folder=demo)
    assert re.match(r" +0\.0 s  \w+  \d+%\n", said)
    assert (demo / "out.mp4").stat().st_size > 1000
