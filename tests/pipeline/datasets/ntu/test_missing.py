"""The published lists of samples with missing skeletons: beside the data, fetched once, or turned away."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from click.testing import CliRunner

from star.cli import main
from star.errors import DatasetError, DownloadError
from star.pipeline import datasets
from star.pipeline.datasets.ntu import missing
from star.pipeline.datasets.ntu.missing import PUBLISHED, Published, digest, read_list
from star.pipeline.recipe import schema as recipes
from star.pipeline.recipe.schema import DatasetSettings

NAMES = ["S001C002P001R002A003", "S001C002P002R001A004", "S002C003P003R001A060"]
HEAD = "3 samples of this data set have no whole skeletons.\nLeave them out.\n\n"  # prose, as in the published ones
LIST = (HEAD + "\n".join(NAMES) + "\n").encode()
FILE = PUBLISHED[60].file


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two clips as they are named; the first is on the list."""
    folder = tmp_path / "ntu"
    folder.mkdir()
    for name in (NAMES[0], "S001C001P001R001A001"):
        (folder / f"{name}_rgb.avi").touch()
    return folder


@pytest.fixture
def home(server: tuple[str, dict[str, bytes]], monkeypatch: pytest.MonkeyPatch) -> tuple[str, dict[str, bytes]]:
    """A list of three names published on this machine."""
    monkeypatch.setitem(missing.PUBLISHED, 60, Published(FILE, len(NAMES), digest(NAMES)))
    monkeypatch.setattr(missing, "HOME", server[0])
    return server


def load(root: Path, **settings) -> list[str]:
    """What is left of the two clips."""
    manifest = datasets.load(DatasetSettings(kind="ntu", root=root, split="xsub", **settings))
    left = {reason for _, reason in manifest.left_out}
    assert left <= {"on the list of missing skeletons"}
    return [video.id for video in manifest.videos]


ALL = ["S001C001P001R001A001_rgb.avi", "S001C002P001R002A003_rgb.avi"]


@pytest.mark.parametrize("version", PUBLISHED)
def test_the_pinned_digests_are_those_of_the_published_lists(shared: Path, version: int) -> None:
    """As many names as their first lines say, and exactly these."""
    file, samples, pinned = PUBLISHED[version]
    found = read_list(shared / "data/ntu" / file)
    assert (len(found), digest(found)) == (samples, pinned)


def test_the_list_is_fetched_once_and_without_being_asked_for(root: Path, home) -> None:
    """`official` is the default; the file is kept as it came, and the second time nobody is asked."""
    _, files = home
    files[f"/{FILE}"] = LIST
    assert load(root) == ALL[:1]
    kept = Path(os.environ["XDG_CACHE_HOME"]) / "star" / FILE
    assert kept.read_bytes() == LIST
    files.clear()
    assert load(root) == ALL[:1]
    assert load(root, missing="none") == load(root, missing=None) == ALL
    assert load(root, missing=str(kept)) == ALL[:1]


@pytest.mark.parametrize("place", ["ntu", "ntu/lists/deep", "skeletons"])
def test_a_list_beside_the_data_needs_no_network(root: Path, home, tmp_path: Path, place: str) -> None:
    """Anywhere below the root or the folder of skeletons; order, line ends and prose do not matter."""
    folder = tmp_path / place
    folder.mkdir(parents=True, exist_ok=True)
    (folder / FILE).write_text("\r\n".join(["ignore these, please", *reversed(NAMES), ""]))
    elsewhere = tmp_path / "skeletons" if place == "skeletons" else None
    assert load(root, skeletons=elsewhere) == ALL[:1]
    assert not (tmp_path / "home").exists()


def test_a_list_that_is_not_the_published_one_is_refused(root: Path, home) -> None:
    """One name more, one less, another one, a page of errors: which file, and what to do. As a path it is believed."""
    path = root / FILE
    remedy = "remove it, or set dataset.missing to a list to take it as it is"
    for names, told in [
        (NAMES[1:], "it names 2, not the 3 samples that were published"),
        ([*NAMES, "S003C003P007R001A001"], "it names 4, not the 3 samples that were published"),
        ([*NAMES[:2], "S003C003P007R001A001"], "not the 3 samples that were published"),
        (["<html>404</html>"], "it names 0, not the 3 samples that were published"),
    ]:
        path.write_text(HEAD + "\n".join(names))
        with pytest.raises(DatasetError) as error:
            load(root)
        assert str(error.value) == f"dataset.missing: {path}: {told}; {remedy}"
    path.write_text("\n".join(NAMES[1:]))
    assert load(root, missing=str(path)) == ALL


def test_a_failed_download_says_where_to_put_the_file(root: Path, home, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not there, tampered with, cut off, nobody there: one line, nothing left behind, and the file put there works."""
    url, files = home
    kept = missing.place(60)

    def told(address: str) -> str:
        with pytest.raises(DownloadError) as error:
            load(root)
        assert list(kept.parent.iterdir()) == []
        before, _, after = str(error.value).partition(" (")
        assert before == "NTU RGB+D 60's list of samples with missing skeletons could not be fetched"
        reason, _, remedy = after.partition("): ")
        assert remedy == f"download {address}/{FILE} elsewhere and put it at {kept}, or set dataset.missing: none"
        return reason

    assert told(url) == "Not Found"
    files[f"/{FILE}"] = LIST.replace(b"A060", b"A059")
    assert told(url) == "not the 3 samples that were published"
    files[f"/short/{FILE}"] = LIST
    monkeypatch.setattr(missing, "HOME", f"{url}/short")
    assert told(f"{url}/short") == f"only {len(LIST)} of {len(LIST) + 10} bytes came"
    monkeypatch.setattr(missing, "HOME", "http://127.0.0.1:9")
    assert told("http://127.0.0.1:9") == "Connection refused"
    kept.write_bytes(LIST)
    assert load(root) == ALL[:1]


def test_without_a_network_the_commands_stop_with_code_5(root: Path, home, tmp_path: Path) -> None:
    """As a user types it: the recipe of `star init` says what can be done, and `none` does it."""
    path = tmp_path / "star.yaml"
    made = CliRunner().invoke(main, ["init", "ntu60-xsub", "--root", str(root), "--cache", str(tmp_path / "cache")])
    assert "  missing: official " in made.stdout
    path.write_text(made.stdout)
    stopped = CliRunner().invoke(main, ["status", str(path)])
    assert (stopped.exit_code, stopped.stdout) == (5, "")
    assert stopped.stderr.startswith("star: NTU RGB+D 60's list of samples with missing skeletons could not be fetched")
    assert stopped.stderr.count("\n") == 1
    assert CliRunner().invoke(main, ["status", str(path), "--set", "dataset.missing=none"]).exit_code == 0


def test_old_recipes_and_relative_paths(tmp_path: Path) -> None:
    """null, as runs from before have it, is no list; a file counts from the recipe's folder; words stay words."""
    text = "dataset: {{kind: ntu, root: d, split: xsub{}}}\ncache: {{root: c}}\n"
    for said, meant in [
        ("", "official"), (", missing: null", None), (", missing: none", "none"),
        (", missing: lists/a.txt", str(tmp_path / "lists/a.txt")),
    ]:  # fmt: skip
        assert recipes.parse(text.format(said), base=tmp_path).dataset.missing == meant


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize(
    "line",
    [
        "{}", "{}.skeleton", "{}_rgb.avi", "nturgb+d_skeletons/{}.skeleton", "{}   # lost", "{},", "  {}  ",
        "C:\\data\\{}.skeleton",
    ],
)  # fmt: skip
def test_a_list_of_ones_own_is_read_in_every_spelling(tmp_path, line, encoding):
    """With a byte order mark, comments, endings and folders; capitals or not."""
    names = ["S001C002P005R002A008", "s001c002p005r002a009"]
    path = tmp_path / "missing.txt"
    path.write_text("# mine\n" + "".join(line.format(name) + "\r\n" for name in names), encoding=encoding)
    assert read_list(path) == {name.upper() for name in names}


def test_a_line_that_nearly_names_a_sample_is_named(tmp_path):
    """It is not passed over as prose."""
    path = tmp_path / "missing.txt"
    path.write_text("S001C002P005R002A008\nsome prose\nS001C002P005R002A00\n")
    with pytest.raises(DatasetError, match=r"missing.txt, line 3: 'S001C002P005R002A00' where one name"):
        read_list(path)
