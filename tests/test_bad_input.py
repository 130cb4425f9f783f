"""Bad input through the door: one line that names the value and what to do, the documented exit code, no traceback."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner
from torchvision.models.video import r3d_18

from star.cli import main

Mistake = Callable[[Path, Path], tuple[list[str | Path], str]]  # (small recipe, empty folder) -> arguments, message
MISTAKES: dict[str, tuple[int, Mistake]] = {}


def mistake(code: int) -> Callable[[Mistake], Mistake]:
    """Enter one into the list, with its exit code."""

    def enter(one: Mistake) -> Mistake:
        MISTAKES[one.__name__] = code, one
        return one

    return enter


@mistake(2)
def no_recipe(_recipe: Path, folder: Path) -> tuple[list[str | Path], str]:
    """A recipe that is not there."""
    told = "No such file or directory; `star init NAME --root DIR > star.yaml` makes a recipe"
    return ["extract", folder / "star.yaml"], f"{folder}/star.yaml: {told}"


@mistake(2)
def unknown_key(recipe: Path, _folder: Path) -> tuple[list[str | Path], str]:
    """A misspelt setting."""
    told = f"{recipe}: heatmaps.sigmas: unknown key; did you mean 'sigma'?"
    return ["extract", recipe, "--set", "heatmaps.sigmas=1"], told


@mistake(2)
def wrong_type(recipe: Path, _folder: Path) -> tuple[list[str | Path], str]:
    """A word for a number."""
    told = "'many': input should be a valid integer, unable to parse string as an integer"
    return ["status", recipe, "--set", "decode.frames=many"], f"{recipe}: decode.frames: {told}"


@mistake(2)
def missing_root(recipe: Path, folder: Path) -> tuple[list[str | Path], str]:
    """A data set's folder that is not there, and of which the cache remembers nothing."""
    told = f"dataset.root: {folder}/data does not exist; give the folder that holds the data set"
    words = ["--set", f"dataset.root={folder}/data", "--set", f"cache.root={folder}/cache"]
    return ["extract", recipe, *words], told


@mistake(2)
def empty_data_set(recipe: Path, folder: Path) -> tuple[list[str | Path], str]:
    """A folder with nothing in it."""
    words = ["--set", f"dataset.root={folder}", "--set", "dataset.kind=videos", "--set", "pose.source=mmpose"]
    told = f"dataset.root: {folder} has neither a CSV (video,label,split) nor a folder of videos per class"
    return ["extract", recipe, *words], told


@mistake(2)
def label_not_in_the_list(recipe: Path, folder: Path) -> tuple[list[str | Path], str]:
    """A label of the CSV that dataset.classes lacks."""
    (folder / "videos.csv").write_text("video,label,split\na.mp4,wawe,train\n")
    words = ["--set", f"dataset.root={folder}", "--set", "dataset.kind=videos", "--set", "pose.source=mmpose"]
    told = "videos.csv, row 2: label 'wawe' is not in dataset.classes; did you mean 'wave'?"
    return ["extract", recipe, *words, "--set", "dataset.classes=[bow, wave]"], told


@mistake(2)
def weights_of_another_network(recipe: Path, folder: Path) -> tuple[list[str | Path], str]:
    """The state of an r3d_18 where an mc3_18's is needed: their convolutions differ from layer2 on."""
    file = folder / "r3d.pth"
    torch.save(r3d_18(weights=None).state_dict(), file)
    told = f"{file}: belongs to another network than mc3_18: "
    told += "layer2.0.conv1.0.weight is 128x64x3x3x3 in the file and 128x64x1x3x3 in the network; "
    told += "give the weights of mc3_18"
    return ["extract", recipe, "--set", f"backbone.weights={file}"], told


@mistake(2)
def no_weights_file(recipe: Path, folder: Path) -> tuple[list[str | Path], str]:
    """A file of weights that is not there."""
    told = f"backbone.weights: no file {folder}/a.pth; give a file, or one of default, kinetics400, official, random"
    return ["extract", recipe, "--set", f"backbone.weights={folder}/a.pth"], told


@mistake(2)
def no_such_ready_recipe(_recipe: Path, folder: Path) -> tuple[list[str | Path], str]:
    """A recipe that star does not bring."""
    told = (
        "init drawing: no such recipe; did you mean 'drawn'? there are drawn, hmdb51, joints, kinetics, ntu120-xset, "
    )
    return [
        "init",
        "drawing",
        "--root",
        folder,
    ], f"{told}ntu120-xsub, ntu60-xsub, ntu60-xview, penn-action, ucf101, videos"


@mistake(2)
def option_of_old(_recipe: Path, folder: Path) -> tuple[list[str | Path], str]:
    """An option that another has replaced."""
    told = "init --training fast: --preset paper, fast or joints has taken its place"
    return ["init", "penn-action", "--root", folder, "--training", "fast"], told


@mistake(2)
def wrong_share(recipe: Path, _folder: Path) -> tuple[list[str | Path], str]:
    """A limit that is no number."""
    told = "--max-failures few: expected a number like 20, or a share like 1%"
    return ["extract", recipe, "--max-failures", "few"], told


@mistake(2)
def no_annotations(recipe: Path, folder: Path) -> tuple[list[str | Path], str]:
    """Annotated joints of plain videos."""
    (folder / "videos.csv").write_text("video,label,split\na.mp4,wave,train\n")
    words = ["--set", f"dataset.root={folder}", "--set", "dataset.kind=videos", "--set", f"cache.root={folder}/cache"]
    return ["extract", recipe, *words], (
        "pose.source: annotations, but no video of kind 'videos' has any; set it to mmpose"
    )


@mistake(3)
def unreadable_video(recipe: Path, folder: Path) -> tuple[list[str | Path], str]:
    """More bad videos than are allowed; each one's reason is in the ledger."""
    (folder / "a.mp4").write_bytes(b"not a video at all")
    (folder / "videos.csv").write_text("video,label,split\na.mp4,wave,train\n")
    words = ["--set", f"dataset.root={folder}", "--set", "dataset.kind=videos", "--set", "pose.source=mmpose"]
    words += ["--set", "pose.checkpoint=random", "--set", "pose.detector=frame", "--set", f"cache.root={folder}/cache"]
    words += ["--max-failures", "0"]
    return ["extract", recipe, *words], f"--max-failures: 1 video failed, 0 may; see {folder}/cache/failures.jsonl"


@mistake(4)
def cache_of_another_format_version(recipe: Path, _folder: Path) -> tuple[list[str | Path], str]:
    """A cache that a later star has written."""
    described = next((recipe.parent / "cache" / "decode").glob("*/stage.json"))
    described.write_text(json.dumps(json.loads(described.read_text()) | {"format_version": 7}))
    told = "is of format version 7; this star reads 1: "
    told += "update star, or `star verify RECIPE --repair`, then extract again"
    return ["status", recipe], f"{described}: {told}"


@mistake(4)
def not_extracted(recipe: Path, folder: Path) -> tuple[list[str | Path], str]:
    """Training before extracting."""
    told = f"cache.root: {folder} has no train clip with all of backbone, tokens; "
    words = ["--run", folder / "run", "--set", f"cache.root={folder}"]
    return ["train", recipe, *words], f"{told}run `star extract` with this recipe (and the same --set) first"


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_one_line_and_an_exit_code(name: str, small: Path, tmp_path: Path) -> None:
    """The exact message, all of stderr, nothing on stdout; --quiet, so that no progress stands beside it."""
    code, make = MISTAKES[name]
    folder = tmp_path / "own"
    folder.mkdir()
    arguments, told = make(small, folder)
    quiet = [] if arguments[0] == "init" else ["-q"]
    result = CliRunner().invoke(main, [str(argument) for argument in [*arguments, *quiet]])
    assert result.stderr == f"star: {told}\n"
    assert result.stdout == ""
    assert result.exit_code == code


def test_unknown_video_is_one_line(small: Path, tmp_path: Path) -> None:
    """`star inspect` of an id that is not in the list says what ids look like, with real ones."""
    result = CliRunner().invoke(main, ["inspect", str(small), "zzz", "-o", str(tmp_path / "zzz.png")])
    assert result.exit_code == 2
    assert result.stderr.startswith("star: zzz: no such video in data; ids are paths below ")
    assert result.stderr.count("\n") == 1


def test_the_reason_of_a_bad_video_is_one_line(small: Path, tmp_path: Path) -> None:
    """Without a limit the run goes on, ends with exit code 3, and says for each video what is wrong with it."""
    folder = tmp_path / "own"
    folder.mkdir()
    arguments, _ = unreadable_video(small, folder)
    result = CliRunner().invoke(main, [*(str(argument) for argument in arguments[:-2]), "--json", "-q"])
    assert result.exit_code == 3
    assert result.stderr == ""
    (failed,) = json.loads(result.stdout)["failed"]
    told = (
        "not a video file that FFmpeg knows (Invalid data found when processing input); fetch it again or leave it out"
    )
    assert failed["message"] == f"{folder}/a.mp4: {told}"
    assert (failed["video"], failed["stage"], failed["kind"]) == ("a.mp4", "decode", "unreadable")
