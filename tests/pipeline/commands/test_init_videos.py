"""`star init videos` looks at the folder; `star split` says who is where. Through the door, as a new user would."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from star.cli import main
from star.pipeline.planning.plan import plan
from star.pipeline.recipe import schema as recipes
from star.pipeline.visualization.clip_figure import cached

LIMBS = ("shoulder", "elbow", "wrist", "hip", "knee", "ankle")


def star(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def touch(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


def init(root: Path) -> tuple[recipes.Recipe, str, str]:
    """The recipe that is printed, its text, and what is said beside it."""
    result = star("init", "videos", "--root", root, "--cache", root.parent / "cache")
    assert result.exit_code == 0
    return recipes.parse(result.stdout), result.stdout, result.stderr


@pytest.fixture
def own(drawn: Path, tmp_path: Path) -> Path:
    """Real clips of two actions in class folders, with joints in .npz files beside them."""
    root = tmp_path / "clips"
    for video in sorted((drawn / "videos").glob("*_00[012].mp4")):
        action = video.stem.rpartition("_")[0]
        if action in ("wave", "squat"):
            (root / action).mkdir(parents=True, exist_ok=True)
            shutil.copy(video, root / action)
            keypoints = np.load(drawn / "joints" / f"{video.stem}.npy")
            np.savez(root / action / video.stem, keypoints=keypoints[:, 0], skeleton="penn_action")
    return root


def test_a_folder_with_joints_goes_from_init_to_features(own: Path) -> None:
    """The recipe takes the joints beside the videos, and the heat maps lie where the .npz files say."""
    recipe, text, told = init(own)
    assert text.startswith(
        "# A folder per class: 6 videos, 2 classes (squat, wave).\n# Joints of 6 of them (penn_action); "
        f"split drawn: {text.split('drawn: ')[1].split(' ')[0]} for training, "
    )
    assert (recipe.pose.source, recipe.pose.people, told) == ("annotations", 1, "")
    path = own.parent / "star.yaml"
    path.write_text(text)
    small = ("backbone.weights=random", "backbone.size=32", "backbone.crop=frame")
    result = star("extract", path, "--json", "-q", *(word for setting in small for word in ("--set", setting)))
    assert result.exit_code == 0, result.output
    assert set(json.loads(result.stdout)["computed"].values()) == {6}
    found = plan(recipes.load(path, small))
    assert {video.split for video in found.manifest.videos} == {"train", "test"}
    for video in found.manifest.videos:
        arrays = cached(found, video.id, 0)
        truth = np.load(video.annotation)["keypoints"][arrays["frame_index"]]
        np.testing.assert_array_equal(arrays["keypoints"][:, 0], truth)
        seen = truth[..., 2] > 0
        heat = arrays["joint_heatmap"][seen]
        assert seen.mean() > 0.5
        row, column = np.unravel_index(heat.reshape(len(heat), -1).argmax(-1), heat.shape[1:])
        cells = (truth[seen][:, :2] + 0.5) / arrays["frame_size"] * heat.shape[-1]
        np.testing.assert_allclose(np.stack([column, row], -1) + 0.5, cells, atol=0.51)  # the cell that the joint is in


def test_joints_of_another_skeleton_fail_their_video_alone(own: Path) -> None:
    """All videos of a data set have the same joints; the one that has others is in the ledger, with the reason."""
    _, text, _ = init(own)
    path = own.parent / "star.yaml"
    path.write_text(text)
    file = own / "wave/wave_001.npz"
    np.savez(file, keypoints=np.ones((20, 3, 3)), skeleton=["a", "b", "c"])
    result = star("extract", path, "--stage", "pose", "--json", "-q")
    assert result.exit_code == 3
    (failed,) = json.loads(result.stdout)["failed"]
    assert (failed["video"], failed["kind"]) == ("wave/wave_001.mp4", "annotation")
    told = f"{file}: its joints are 'own, 3 joints', those of the data set 'penn_action'; give all videos the same"
    assert failed["message"] == told


def test_without_joints_a_pose_estimator_finds_them(tmp_path: Path) -> None:
    """Where only some videos have joints, for the others; a class that no seed can split is told."""
    root = touch(tmp_path / "clips", *(f"{name}/{k}.mp4" for name in ("bow", "wave") for k in range(9)))
    recipe, text, told = init(root)
    assert (recipe.pose.source, told) == ("mmpose", "")
    assert text.startswith("# A folder per class: 18 videos, 2 classes (bow, wave).\n# No joints; split drawn: ")
    np.savez(root / "bow/1.npz", keypoints=np.ones((3, 13, 3)), skeleton="penn_action")
    touch(root, "lone/a.mp4")
    recipe, _, told = init(root)
    assert (recipe.pose.source, recipe.pose.layout, recipe.pose.people) == ("auto", "penn_action", 1)
    lone = f"warning: no {'training' if 'training' in told else 'test'} video of 1 of 3 classes (lone)"
    rest = "warning: 18 videos without joints, so the recipe takes "
    assert told.splitlines() == [lone, f"{rest}theirs from mmpose"]
    halpe = ("nose", *(f"{side}_{joint}" for side in ("left", "right") for joint in LIMBS))
    for joints, source, layout in ((halpe, "auto", "coco"), (("a", "b"), "mmpose", "own")):
        np.savez(root / "bow/1.npz", keypoints=np.ones((3, 2, len(joints), 3)), skeleton=joints)
        recipe, _, told = init(root)
        assert (recipe.pose.source, recipe.pose.layout) == (source, layout)
        assert recipe.pose.people == (2 if source == "auto" else 1)
    assert told.splitlines() == [lone, f"{rest}all joints by mmpose"]


def test_small_data_sets_get_a_seed_that_splits_every_class(tmp_path: Path) -> None:
    """Chance alone leaves classes of three videos without test videos; a list that says its split is left alone."""
    root = touch(tmp_path / "clips", *(f"class{n}/{k}.mp4" for n in range(4) for k in range(3)))
    recipe, _, told = init(root)
    assert (recipe.dataset.split_seed > 0, told) == (True, "")
    (root / "list.csv").write_text("video,label,split\na.mp4,wave,test\nb.mp4,wave,train\nc.mp4,bow,test\n")
    recipe, text, told = init(root)
    assert recipe.dataset.split_seed == 0
    assert text.startswith(
        "# The list list.csv: 3 videos, 2 classes (bow, wave).\n"
        "# No joints; split as listed: 1 for training, 2 for testing."
    )
    assert told == "warning: no training video of 1 of 2 classes (bow)\n"


def test_of_several_lists_the_first_is_taken(tmp_path: Path) -> None:
    """And the recipe says which."""
    root = touch(tmp_path / "clips", "x.mp4")
    for name in "ab":
        (root / f"{name}.csv").write_text("video,label,split\nx.mp4,wave,test\ny.mp4,wave,train\n")
    recipe, _, told = init(root)
    assert recipe.dataset.list == root / "a.csv"
    assert "warning: there are 2 CSV files (a.csv, b.csv); the recipe takes the first, see dataset.list\n" in told


@pytest.mark.parametrize(
    ("name", "sign", "files"),
    [
        ("penn-action", "frames/ and labels/*.mat", ["frames/0001/000001.jpg", "labels/0001.mat"]),
        ("ntu60-xsub", "S001C001P001R001A001_rgb.avi", ["nturgb/S001C001P001R001A001_rgb.avi"]),
        ("ntu120-xsub", "S018C001P001R001A061_rgb.avi", ["S018C001P001R001A061_rgb.avi"]),
        ("ucf101", "trainlist01.txt", ["ucfTrainTestlist/trainlist01.txt", "UCF-101/a/v_a_g01_c01.avi"]),
        ("ucf101", "v_a_g01_c01.avi", ["a/v_a_g01_c01.avi"]),
        ("ucf101", "v_a_g01_c01", ["rawframes/a/v_a_g01_c01/img_00001.jpg"]),
        ("hmdb51", "wave_test_split1.txt", ["splits/wave_test_split1.txt", "wave/x.avi"]),
    ],
)
def test_published_data_sets_are_recognised(tmp_path: Path, name: str, sign: str, files: list[str]) -> None:
    """A folder that another recipe fits is not taken for classes; one's own list of it is."""
    root = touch(tmp_path / "data", *files)
    result = star("init", "videos", "--root", root)
    assert result.exit_code == 2
    assert result.stdout == ""
    told = (
        f"star: init videos: {root} looks like {name} ({sign}); use `star init {name} --root {root}`, or list your own "
    )
    assert result.stderr == told + "choice of videos in a CSV (video,label,split)\n"
    (root / "own.csv").write_text("video,label,split\na.mp4,wave,test\nb.mp4,wave,train\n")
    assert init(root)[0].dataset.kind == "videos"


def test_kinetics_is_recognised_by_its_list(tmp_path: Path) -> None:
    """A CSV of YouTube ids is no list of star's."""
    root = touch(tmp_path / "data", "yoga/a_000001_000011.mp4")
    (root / "train.csv").write_text("label,youtube_id,time_start,time_end,split\nyoga,a,1,11,train\n")
    assert (
        "looks like kinetics (the column youtube_id of train.csv); use" in star("init", "videos", "--root", root).stderr
    )


def test_folders_without_videos_are_one_line(tmp_path: Path) -> None:
    """Empty; videos that nothing names, where labels are wanted; not there, which may be right on another machine."""
    root = touch(tmp_path / "data", "notes.txt")
    told = "neither a CSV (video,label,split) nor a folder of videos per class"
    result = star("init", "videos", "--root", root)
    assert (result.exit_code, result.stdout, result.stderr) == (2, "", f"star: dataset.root: {root} has {told}\n")
    touch(root, "a.mp4", "b.MOV")
    path = tmp_path / "star.yaml"
    path.write_text(f"{{dataset: {{kind: videos, root: {root}}}, cache: {{root: cache}}}}")
    assert star("scan", path).stderr == (
        f"star: dataset.root: {root} holds 2 videos, but {told}; dataset.labels: none is for features of videos "
        "without labels\n"
    )
    recipe, _, told = init(tmp_path / "gone")
    assert recipe.dataset.root == tmp_path / "gone"
    assert told.startswith(f"warning: {tmp_path}/gone is not there, so the recipe is a general one; ")


def test_a_split_is_written_down_and_read_again(tmp_path: Path) -> None:
    """By group, with all columns; the list gives the same split under any settings, and is never overwritten."""
    root = touch(tmp_path / "clips")
    root.mkdir()
    rows = [f'{k}.mp4,"a, {"bw"[k % 2]}",P{k % 10},{k}.npz' for k in range(60)]
    (root / "list.csv").write_text("\n".join(["video,label,subject,joints", *rows]))
    np.savez(root / "0.npz", skeleton="penn_action")
    path = tmp_path / "star.yaml"
    path.write_text("{dataset: {kind: videos, root: clips, split_by: subject, test_share: 0.4}, cache: {root: cache}}")
    result = star("split", path, "-o", tmp_path / "split.csv")
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert lines[0].split() == ["class", "train", "test", "share", "of", "test"]
    assert lines[-1] == (
        f"list: {tmp_path}/split.csv; a recipe of kind videos reads it with dataset.list: {tmp_path}/split.csv"
    )
    again = star("split", path, "-o", tmp_path / "split.csv")
    assert (again.exit_code, again.stdout) == (2, "")
    assert again.stderr == f"star: -o {tmp_path}/split.csv: exists already; give another name, or remove it\n"
    first = plan(recipes.load(path)).manifest
    other = ("dataset.split_by=null", "dataset.split_seed=9", "dataset.test_share=0.9", "dataset.list=split.csv")
    assert plan(recipes.load(path, other)).manifest == first
    assert {video.split for video in first.videos} == {"train", "test"}
    lone = star("split", path, "--set", "dataset.test_share=0", "--json")
    assert json.loads(lone.stdout)["warnings"] == ["no test video of 2 of 2 classes (a, b, a, w)"]
