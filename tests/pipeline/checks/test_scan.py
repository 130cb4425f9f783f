"""`star scan`: what it sees is what extraction would see, and every problem is one line with its remedy."""

from __future__ import annotations

import json
import os
import shutil
import signal
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner, Result
from scipy.io import savemat

from star.cli import main
from star.errors import DatasetError, Interrupted
from star.pipeline.checks import scan as module
from star.pipeline.checks.scan import Scan, leaks, scan, sides, unbalanced
from star.pipeline.checks.scan_report import ScanReport
from star.pipeline.checks.scan_task import Look
from star.pipeline.datasets.base import Manifest, Video
from star.pipeline.planning.plan import plan
from star.pipeline.recipe import schema as recipes
from star.pipeline.visualization.clip_figure import cached

OWN = "{dataset: {kind: videos, root: ROOT}, cache: {root: ROOT/cache}, pose: {source: mmpose, detector: frame}}"


def own(root: Path, rows: str) -> Path:
    """A recipe for a folder of one's own with this CSV."""
    (root / "list.csv").write_text(rows)
    path = root / "star.yaml"
    path.write_text(OWN.replace("ROOT", str(root)))
    return path


def star(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def told(result: Result) -> list[str]:
    """The findings that the command printed."""
    return [line for line in result.stdout.splitlines() if line.startswith(("fails: ", "problem: ", "note: "))]


def test_what_a_scan_sees_is_what_extraction_saw(extracted: Path) -> None:
    """Frames and sizes from packets are those that decoding stored; joints lie inside; nothing fails, exit code 0."""
    found = plan(recipes.load(extracted))
    result = scan(recipes.load(extracted), workers=1, quiet=True)
    assert len(result.looks) == 24
    for video, look in result.looks.items():
        arrays = cached(found, video, 0)
        assert look.frames == arrays["frame_count"]
        assert look.size == tuple(arrays["frame_size"])
        assert look.digests == found.sources.known[video].digests
        assert look.joints > 100
        assert look.outside == 0
    assert {finding.kind for finding in result.findings} == {"class"}  # 3 clips a class are few


def test_the_samples_as_a_user_would_type_it(shared: Path, tmp_path: Path) -> None:
    """The broken and the absent file fail (exit code 3), a copy in the other split and a shared subject are told."""
    shutil.copytree(shared / "data" / "videos", tmp_path, dirs_exist_ok=True)
    shutil.copy(tmp_path / "stdet.mp4", tmp_path / "again.mp4")
    rows = ["video,label,split,subject", "again.mp4,talk,train,a", "stdet.mp4,talk,test,b", "gone.mp4,talk,train,a"]
    rows += ["S001C001P001R001A001_rgb.avi,talk,train,c", "corrupted.mp4,talk,test,c", "mmpose_demo.mp4,talk,test,d"]
    recipe = own(tmp_path, "\n".join(rows))
    result = star("scan", recipe, "--workers", "1", "-q")
    assert result.exit_code == 3
    assert told(result) == [
        "fails: corrupted.mp4: packet 31 of 50 is damaged, so that decoding will break off there; "
        "fetch the file again, or save what is left of it with ffmpeg -i IN OUT",
        "fails: gone.mp4: no such file; restore it, or take it off the list",
        "problem: only one class, 'talk': there is nothing to tell apart; add another",
        "problem: stdet.mp4: the same content as again.mp4, in test and train: the test is no test; "
        "leave one out (dataset.exclude)",
        "problem: subject: 1 of 4 stand in both train and test (c); split by subject",
        "note: class 'talk' has only 3 train videos; it can hardly be learned, add some",
        "note: class 'talk' has only 3 test videos; it can hardly be judged, add some",
        "note: mmpose_demo.mp4: 5 frames, fewer than decode.frames (16): some are taken twice, which does no harm",
    ]
    assert result.stdout.splitlines()[-1] == "2 videos would fail in `star extract`, 3 problems, 3 notes"


def test_json_is_one_document_with_the_same_findings(tmp_path: Path) -> None:
    """Figures per split and class, findings with level, kind and video, and the exit code of a failing video."""
    (tmp_path / "a.mp4").write_bytes(b"")
    result = star("scan", own(tmp_path, "video,label,split\na.mp4,wave,train\n"), "--workers", "1", "--json")
    assert result.exit_code == 3
    document = json.loads(result.stdout)
    assert document["failing"] == 1
    assert document["classes"] == [{"class": "wave", "train": 1, "val": 0, "test": 0}]
    assert document["splits"][0] | {"sizes": 0} == {
        "split": "train", "videos": 1, "opened": 0, "frames": 0, "shortest": 0, "longest": 0, "seconds": 0,
        "sizes": 0, "joints": 0, "joints_outside": None,
    }  # fmt: skip
    assert document["findings"][0] == {
        "level": "fails", "kind": "no_video", "video": "a.mp4", "message": "the file is empty (0 bytes); fetch it again"
    }  # fmt: skip


def penn(root: Path, name: str, frames: int, x: np.ndarray) -> None:
    """One Penn Action sequence of 64 × 48 px; x: (F, 13) of the joints, which all lie at y = 20."""
    (root / "frames" / name).mkdir(parents=True)
    for number in range(frames):
        cv2.imwrite(str(root / "frames" / name / f"{number:06d}.jpg"), np.full((48, 64, 3), 20 * int(name), np.uint8))
    (root / "labels").mkdir(exist_ok=True)
    fields = {"action": "squat", "train": 1, "pose": "front", "x": x, "y": np.full_like(x, 20)}
    savemat(root / "labels" / f"{name}.mat", fields | {"visibility": np.ones(x.shape), "bbox": np.zeros((0, 4))})


def test_annotations_are_held_against_their_videos(tmp_path: Path) -> None:
    """Another video's length fails as in extraction; a slightly other one, joints outside and no joints are told."""
    inside = np.tile(np.linspace(10.0, 50, 13), (20, 1))
    shifted = inside.copy()
    shifted[:, 8:] += 64  # 5 of 13
    for number, (frames, x) in enumerate(((20, inside), (60, inside), (18, inside), (20, shifted), (20, inside + 99))):
        penn(tmp_path, f"{number:04d}", frames, x)
    path = tmp_path / "star.yaml"
    path.write_text("{dataset: {kind: penn_action, root: .}, cache: {root: cache}, backbone: {weights: random}}")
    result = star("scan", path, "--workers", "1", "-q")
    assert result.exit_code == 3
    assert [line for line in told(result) if "frames/" in line] == [
        "fails: frames/0001: the annotation has 20 frames and the video 60: they do not belong together; "
        "correct the annotation, or take the joints from pose.source: mmpose",
        "problem: frames/0004: no joint is inside the frame: its heat maps would be empty; check the annotation",
        "problem: frames/0003: 38% of its joints lie outside the frame (64×48); "
        "is the annotation another video's, or another size's?",
        "note: frames/0002: 20 annotated frames and 18 in the video; the annotation's last ones are not used",
    ]
    extracted = star("extract", path, "--json", "-q", "--workers", "1", "--stage", "pose")
    (failed,) = json.loads(extracted.stdout)["failed"]
    assert failed["video"] == "frames/0001"
    assert failed["message"] in result.stdout
    away = star("scan", path, "--workers", "1", "-q", "--set", "pose.source=mmpose", "--set", "pose.detector=frame")
    assert away.exit_code == 0  # nobody reads the annotation then


def test_joints_that_are_not_finite_are_counted(drawn: Path, tmp_path: Path) -> None:
    """They count as absent, so that is a note."""
    shutil.copytree(drawn, tmp_path / "data")
    path = tmp_path / "data" / "joints" / "bow_000.npy"
    joints = np.load(path)
    joints[3, 0, :4, 0] = np.nan
    np.save(path, joints)
    recipe = tmp_path / "star.yaml"
    recipe.write_text("{dataset: {kind: drawn, root: data}, cache: {root: cache}, backbone: {weights: random}}")
    result = star("scan", recipe, "--workers", "1", "-q")
    assert result.exit_code == 0
    assert "note: videos/bow_000.mp4: 4 joints are not finite numbers; they count as absent" in told(result)


def test_folders_are_duplicates_by_all_their_bytes(tmp_path: Path) -> None:
    """Pictures of one format and size have files of one size: only equal bytes make a duplicate; labels count too."""
    for name, colour in (("a", 10), ("b", 10), ("c", 20)):
        (tmp_path / name).mkdir()
        for number in range(16):
            cv2.imwrite(str(tmp_path / name / f"{number}.bmp"), np.full((8, 8, 3), colour, np.uint8))
    recipe = own(tmp_path, "video,label,split\na,wave,train\nb,bow,train\nc,bow,train\n")
    result = scan(recipes.load(recipe), workers=1, quiet=True)
    found = [finding for finding in result.findings if finding.kind == "duplicate"]
    assert [finding[1:] for finding in found] == [
        ("duplicate", "b", "the same content as a, under another label; correct one")
    ]


def videos(rows: str) -> Manifest:
    """A catalogue of "label split subject" triples, without files."""
    found = [line.split() for line in rows.strip().splitlines()]
    listed = [
        Video(f"{number}.mp4", int(label), split, Path("gone"), groups=(("subject", subject), ("camera", "C1")))
        for number, (label, split, subject) in enumerate(found)
    ]
    return Manifest("made", ("bow", "wave"), listed)


def test_groups_that_should_be_apart_and_are_not() -> None:
    """A subject on both sides is a leak where subjects count; a camera is none, but its sides are counted."""
    listed = videos("0 train P1\n0 test P1\n0 train P2\n0 test P3")
    assert sides(listed) == {"subject": (3, ["P1"]), "camera": (1, ["C1"])}
    (leak,) = leaks(listed, frozenset(["subject"]))
    assert leak.message == "subject: 1 of 3 stand in both train and test (P1); split by subject"
    assert list(leaks(listed, frozenset(["setup"]))) == []


def test_classes_without_videos_and_very_small_ones() -> None:
    """A class that a split lacks is a problem, a small one a note, a class of five is neither."""
    found = list(unbalanced(videos("0 train P1\n" * 5 + "0 test P1\n1 train P1")))
    assert [(finding.level, finding.message) for finding in found] == [
        ("note", "class 'bow' has only 1 test video; it can hardly be judged, add some"),
        ("note", "class 'wave' has only 1 train video; it can hardly be learned, add some"),
        ("problem", "class 'wave' has no test video, and cannot be judged; add some, or leave the class out"),
    ]


def test_joints_that_lie_elsewhere_are_one_line(tmp_path: Path) -> None:
    """Where most videos fail for want of joints, it is told together where they are looked for."""
    for number in range(3):
        (tmp_path / f"S001C001P001R001A00{number + 1}_rgb.avi").touch()
    path = tmp_path / "star.yaml"
    path.write_text(
        "{dataset: {kind: ntu, root: ., split: xsub, missing: none}, cache: {root: c}, backbone: {weights: random}}"
    )
    said = told(star("scan", path, "--workers", "1", "-q"))
    line = (
        "problem: 3 of 3 videos have no annotated joints; dataset.skeletons says where the .skeleton files lie, if not "
        "below dataset.root; pose.source: mmpose estimates them"
    )
    assert line in said
    away = ("--set", "pose.source=mmpose", "--set", "pose.detector=frame")
    assert line not in told(star("scan", path, "--workers", "1", "-q", *away))


def test_a_part_of_a_data_set_is_one_line() -> None:
    """Classes without any video are told together, and have no rows in the table."""
    listed = replace(videos("1 train P1\n" * 5 + "1 test P1\n" * 5), classes=("bow", "wave", "jump", "run", "hop"))
    (found,) = unbalanced(listed)
    assert (found.level, found.message) == (
        "problem", "4 of 5 classes have no video at all (bow, jump, run, …): is a part not there?"
    )  # fmt: skip
    seen = Scan(listed, {video.id: Look() for video in listed.videos}, [found])
    said = ScanReport(seen).to_lines()
    assert said[said.index("") + 1 : said.index("") + 4] == [
        "class  train  test", "wave       5     5", "subject: 1 value, all in both train and test"
    ]  # fmt: skip


def test_many_classes_are_shown_smallest_first() -> None:
    """Of 43 classes the forty with the fewest videos, and how many more there are."""
    rows = "\n".join(f"{label} {split} P" for label in range(43) for split in ["train", "test"] * (1 + (label < 3)))
    listed = replace(videos(rows), classes=tuple(f"c{label}" for label in range(43)))
    said = ScanReport(Scan(listed, {video.id: Look() for video in listed.videos})).to_lines()
    start = said.index("") + 2
    assert [line.split()[0] for line in said[start : start + 40]] == [f"c{label}" for label in range(3, 43)]
    assert said[start + 40] == "and 3 larger classes; --json has all"


def test_ctrl_c_ends_a_scan(extracted: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After the third video no more is waited for, and the message says how far it came."""

    class Pressed(module.Progress):
        def advance(self, count: int = 1, note: str = "") -> None:
            super().advance(count, note)
            if self.done == 3:
                os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(module, "Progress", Pressed)
    with pytest.raises(Interrupted, match=r"^interrupted: 3 of 24 videos looked at$"):
        scan(recipes.load(extracted), workers=1, quiet=True)


def test_a_data_set_that_is_not_mounted_is_one_line(small: Path, tmp_path: Path) -> None:
    """The cache remembers the list, but a scan is for the videos."""
    star("scan", small, "--workers", "1", "-q")
    moved = small.read_text().replace(str(recipes.load(small).dataset.root), str(tmp_path / "data"))
    small.write_text(moved)
    with pytest.raises(DatasetError) as caught:
        scan(recipes.load(small), quiet=True)
    assert str(caught.value) == f"dataset.root: {tmp_path}/data is not there, and scan reads the videos; mount it"


def listing(*rows: tuple[str, int, str], classes: tuple[str, ...], annotation: Path | None = None) -> Manifest:
    videos = [Video(name, label, split, Path(name), annotation) for name, label, split in rows]
    return Manifest("data", classes, videos)


def test_labels_that_differ_in_spelling_alone_are_one_note() -> None:
    """Capitals, Unicode's forms, spaces, underscores, hyphens."""
    names = ("Café", "cafe\u0301", "jump rope", "Jump_Rope", "wave", "WAVE", "bow")
    (finding,) = module.same_but_for_spelling(listing(classes=names))
    assert finding.level == "note"
    for name in names[:6]:
        assert repr(name) in finding.message
    assert not list(module.same_but_for_spelling(listing(classes=("wave", "waves", "bow"))))


def test_one_file_of_joints_for_all_rows_is_a_problem() -> None:
    """Whose are they?"""
    rows = [("a.mp4", 0, "train"), ("b.mp4", 1, "test")]
    (finding,) = module.shared_joints(listing(*rows, classes=("bow", "wave"), annotation=Path("all.npz")))
    assert finding.message == "the joints in all.npz are those of 2 videos (a.mp4, b.mp4); give each a file of its own"
    assert not list(module.shared_joints(listing(*rows, classes=("bow", "wave"))))


def test_videos_called_alike_but_for_their_endings_are_one_line() -> None:
    """One video in two containers: a note, and a problem where both sides of the split have it."""
    rows = [("bow/a.mp4", 0, "train"), ("bow/a.AVI", 0, "train"), ("bow/b.mp4", 0, "test"), ("bow/a.1", 0, "train")]
    (finding,) = module.same_name(listing(*rows, classes=("bow",)))
    assert (finding.level, "bow/a.mp4 and bow/a.AVI; are they one?" in finding.message) == ("note", True)
    rows += [("bow/b.mkv", 0, "train")]
    (finding,) = module.same_name(listing(*rows, classes=("bow",)))
    assert finding.level == "problem"
    assert not list(module.same_name(listing(*rows[:1], *rows[2:4], classes=("bow",))))


def test_one_class_is_a_problem() -> None:
    """Whatever a network says is right."""
    (finding,) = module.one_class(listing(("a.mp4", 1, "train"), classes=("bow", "wave")))
    assert "only one class, 'wave'" in finding.message


@pytest.mark.parametrize(
    ("source", "word"), [("annotations", "pose.source: mmpose"), ("mmpose", "pose.detector: frame")]
)
def test_the_remedy_for_missing_joints_is_one_that_can_work(source: str, word: str) -> None:
    """Where mmpose estimates the joints already, only its boxes are lacking."""
    recipe = recipes.parse(OWN, overrides=(f"pose.source={source}", "pose.detector=annotations"), base=Path("/"))
    rows = [(f"{number}.mp4", number % 2, "train") for number in range(4)]
    (finding,) = module.without_joints(listing(*rows, classes=("bow", "wave")), recipe)
    assert word in finding.message


def test_a_sequence_of_joints_in_another_file_is_a_duplicate(tmp_path: Path) -> None:
    """Northwestern-UCLA goes round with test sequences that are training sequences under another name inside."""
    places = np.random.default_rng(0).random((2, 20, 20, 3)).tolist()
    for name, one in (("a01_s01_e00_v01", 0), ("a01_s01_e00_v02", 1), ("a01_s01_e00_v03", 0), ("a02_s01_e00_v03", 1)):
        document = {"file_name": name, "skeletons": places[one], "label": int(name[1:3])}
        (tmp_path / f"{name}.json").write_text(json.dumps(document))
    recipe = tmp_path / "star.yaml"
    text = "{dataset: {kind: joints, root: .}, cache: {root: cache}, pose: {projection: front}, "
    text += "tokens: {form: heatmap}, model: {modalities: joint}}"
    recipe.write_text(text)
    result = scan(recipes.load(recipe), workers=1, quiet=True)
    found = [finding[2:] for finding in result.findings if finding.kind == "duplicate"]
    assert found == [
        (
            f"{other}.json",
            f"the same joints as {first}.json, in test and train: the test is no test; leave one out (dataset.exclude)",
        )
        for first, other in (("a01_s01_e00_v01", "a01_s01_e00_v03"), ("a01_s01_e00_v02", "a02_s01_e00_v03"))
    ]
