"""Every format of joints against numbers that were written by hand, and hostile files of each kind."""

import json
import os
import zipfile
from pathlib import Path

import numpy as np
import pytest

from star.errors import AnnotationError
from star.pipeline.datasets import keypoint_files
from star.pipeline.datasets.keypoint_files import npz
from star.stages.skeletons import (
    BLAZEPOSE_33,
    COCO,
    HALPE_26,
    KINECT_V1,
    NTU,
    OPENPOSE_18,
    OPENPOSE_25,
)


def write(path: Path, document: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document))
    return path


def refused(path: Path) -> str:
    with pytest.raises(AnnotationError) as error:
        keypoint_files.read(path)
    assert "\n" not in str(error.value)
    return str(error.value).removeprefix(f"{path}: ")


def person(joints: int, x: float, frame: int) -> np.ndarray:
    """(N, 3): a person who walks to the right, 100 px tall."""
    return np.array([[x + 2 * frame + joint, 50 + 100 * joint / joints, 0.5 + joint / 100] for joint in range(joints)])


def flat(given: np.ndarray) -> list[float]:
    return given.ravel().tolist()


@pytest.mark.parametrize("layout", [OPENPOSE_18, OPENPOSE_25])
def test_openpose_follows_people_whom_it_does_not_name(tmp_path, layout):
    """Two people whose order changes, a frame without anybody, and one that is left out."""
    count = len(layout.joints)
    for frame in (0, 1, 3, 4):
        people = [person(count, 10, frame), person(count, 400, frame)]
        people = people[::-1] if frame % 2 else people
        people = [] if frame == 3 else people
        rows = [{"person_id": [-1], "pose_keypoints_2d": flat(one)} for one in people]
        write(tmp_path / f"clip_{frame:012d}_keypoints.json", {"version": 1.3, "people": rows})
    found = keypoint_files.read(tmp_path)
    assert keypoint_files.format_of(tmp_path) == "OpenPose JSON"
    assert found.skeleton == layout
    assert found.keypoints.shape == (5, 2, count, 3)
    for frame in (0, 1, 4):
        assert np.allclose(found.keypoints[frame, 0], person(count, 10, frame))
        assert np.allclose(found.keypoints[frame, 1], person(count, 400, frame))
    assert not found.keypoints[2:4].any()
    assert {keypoint_files.video_of(f"a/clip/{path.name}") for path in tmp_path.iterdir()} == {"a/clip"}


def test_openpose_says_which_frame_is_wrong(tmp_path):
    write(tmp_path / "a_0_keypoints.json", {"people": [{"pose_keypoints_2d": [1, 2, 3]}]})
    said = "a_0_keypoints.json: pose_keypoints_2d has 3 numbers; BODY_25 has 75, COCO-18 has 54"
    assert refused(tmp_path).endswith(said)


def test_openpose_of_other_versions_and_names(tmp_path):
    """pose_keypoints before version 1.2; frames called by their numbers alone, as in AlphaPose's sep-json."""
    for key, folder in (("pose_keypoints", "old_version"), ("pose_keypoints_2d", "numbered")):
        for frame in (0, 1):
            name = f"{frame}.json" if folder == "numbered" else f"a_{frame:012d}_keypoints.json"
            write(tmp_path / folder / name, {"version": 1.1, "people": [{key: flat(person(18, 10, frame))}]})
        found = keypoint_files.read(tmp_path / folder)
        assert found.skeleton == OPENPOSE_18
        assert np.allclose(found.keypoints[:, 0], [person(18, 10, 0), person(18, 10, 1)])


def test_coco_keeps_hidden_joints_apart_and_follows_track_ids(tmp_path):
    images = [{"id": 10 + k, "file_name": f"clip/{k:06d}.jpg", "width": 640, "height": 360} for k in (1, 0)]
    rows = []
    for k in (0, 1):
        for track in (7, 3):
            joints = person(17, 10 if track == 7 else 12, k)
            joints[:, 2] = 2
            joints[4] = [20, 30, 1]  # hidden
            joints[5] = 0
            rows.append({"image_id": 10 + k, "track_id": track, "keypoints": flat(joints), "category_id": 1})
    categories = [{"id": 1, "keypoints": [name.title().replace("_", " ") for name in COCO.joints]}]
    path = write(tmp_path / "a.json", {"images": images, "annotations": rows, "categories": categories})
    found = keypoint_files.read(path)
    assert keypoint_files.format_of(path) == "COCO keypoint JSON"
    assert found.skeleton == COCO
    assert found.size == (640, 360)
    assert found.keypoints.shape == (2, 2, 17, 3)
    assert np.allclose(found.keypoints[1, 0, 0], [12, 50, 1])
    assert np.allclose(found.keypoints[1, 1, 0], [14, 50, 1])
    assert not found.keypoints[..., 4:6, :].any()
    assert np.allclose(found.joints(occluded=True)[..., 4, :], [20, 30, 1])
    images[0]["file_name"] = "other/000001.jpg"
    path = write(tmp_path / "b.json", {"images": images, "annotations": rows})
    assert refused(path) == "its images lie in 2 folders; write one file per video"
    for image in images:
        image["file_name"] = image["file_name"].replace("/", "\\")  # as Windows writes it
    assert refused(write(path, {"images": images, "annotations": rows})).startswith("its images lie in 2 folders")


def test_alphapose(tmp_path):
    rows = [
        {"image_id": f"{k}.jpg", "category_id": 1, "keypoints": flat(person(26, 5, k)), "score": 3.1, "idx": 2}
        for k in (10, 2, 3)
    ]
    path = write(tmp_path / "alphapose-results.json", rows)
    found = keypoint_files.read(path)
    assert keypoint_files.format_of(path) == "AlphaPose JSON"
    assert found.skeleton == HALPE_26
    assert found.keypoints.shape == (9, 1, 26, 3)
    assert np.allclose(found.keypoints[8, 0], person(26, 5, 10))
    assert not found.keypoints[2:8].any()


@pytest.mark.parametrize(("people", "joints"), [("people", "pose_keypoints_2d"), ("bodies", "joints")])
def test_alphapose_as_openpose_and_cmu_write(tmp_path, people, joints):
    """`--format open` and `--format cmu`: 18 joints, by picture."""
    frames = {f"{k}.jpg": {"version": "AlphaPose v0.3", people: [{joints: flat(person(18, 5, k))}]} for k in (0, 1, 10)}
    path = write(tmp_path / "a.json", frames)
    found = keypoint_files.read(path)
    assert keypoint_files.format_of(path) == "AlphaPose JSON"
    assert found.skeleton == OPENPOSE_18
    assert np.allclose(found.keypoints[10, 0], person(18, 5, 10))


def test_alphapose_of_136_joints_is_its_first_26(tmp_path):
    rows = [{"image_id": f"{k}.jpg", "keypoints": flat(person(136, 5, k)), "score": 3.1} for k in (0, 1)]
    found = keypoint_files.read(write(tmp_path / "a.json", rows))
    assert found.skeleton == HALPE_26
    assert np.allclose(found.keypoints[1, 0], person(136, 5, 1)[:26])


@pytest.mark.parametrize("bare", [False, True])
def test_mmpose_inferencer(tmp_path, bare):
    frames = []
    for frame in (1, 2):
        joints = person(17, 10, frame)
        one = {"keypoints": joints[:, :2].tolist(), "keypoint_scores": joints[:, 2].tolist(), "bbox": [[0, 0, 1, 1]]}
        frames.append({"frame_id": frame, "instances": [one]})
    frames.append({"frame_id": 3, "instances": []})
    meta = {"keypoint_id2name": {str(k): name for k, name in enumerate(COCO.joints)}}
    path = write(tmp_path / "a.json", frames if bare else {"meta_info": meta, "instance_info": frames})
    found = keypoint_files.read(path)
    assert keypoint_files.format_of(path) == "mmpose Inferencer JSON"
    assert found.skeleton == COCO
    assert np.allclose(found.keypoints[:2, 0], [person(17, 10, 1), person(17, 10, 2)])
    assert not found.keypoints[2].any()


@pytest.mark.parametrize("form", ["objects", "rows", "nested"])
def test_mediapipe_counts_from_the_pictures_edges(tmp_path, form):
    """0 is the left edge, half a pixel left of the first pixel's centre."""
    rows = [[k / 33, 0.5, 0.1, 0.9] for k in range(33)]
    objects = [dict(zip(("x", "y", "z", "visibility"), row, strict=True)) for row in rows]
    frame = {"objects": {"landmarks": objects}, "rows": rows, "nested": {"pose_landmarks": [objects]}}[form]
    empty = {"objects": {"landmarks": []}, "rows": [], "nested": {"pose_landmarks": []}}[form]
    path = write(tmp_path / "a.json", {"width": 640, "height": 360, "fps": 25, "frames": [empty, frame]})
    found = keypoint_files.read(path)
    assert keypoint_files.format_of(path) == "MediaPipe JSON"
    assert found.skeleton == BLAZEPOSE_33
    assert (found.size, found.rate) == ((640, 360), 25)
    assert np.allclose(found.keypoints[1, 0, 11], [640 * 11 / 33 - 0.5, 179.5, 0.9])
    assert np.allclose(found.keypoints[1, 0, 0], [-0.5, 179.5, 0.9])
    assert not found.keypoints[0].any()


def test_mediapipe_follows_several_people(tmp_path):
    """What the task's results are with `num_poses=2`: a list of people, who change places; then nobody, then one."""

    def of(x: float) -> list[dict[str, float]]:
        return [{"x": x + k / 1000, "y": 0.2 + k / 50, "z": 0.0, "visibility": 0.9, "presence": 1.0} for k in range(33)]

    frames = [[of(0.1), of(0.7)], [of(0.72), of(0.12)], [], [of(0.71)]]
    path = write(tmp_path / "a.json", [{"pose_landmarks": frame, "pose_world_landmarks": []} for frame in frames])
    found = keypoint_files.read(path)
    assert keypoint_files.format_of(path) == "MediaPipe JSON"
    assert found.keypoints.shape == (4, 2, 33, 3)
    assert np.allclose(sorted(found.keypoints[0, :, 0, 0]), [99.5, 699.5], atol=1e-2)
    assert np.allclose(np.ptp(found.keypoints[:2, :, 0, 0], 0), 20, atol=1e-2)
    assert not found.keypoints[2].any()


def test_kinetics_skeleton(tmp_path):
    pose = person(18, 10, 0)
    unit = (pose[:, :2] + 0.5) / [340, 256]
    data = [
        {"frame_index": 1, "skeleton": [{"pose": flat(unit), "score": pose[:, 2].tolist()}]},
        {"frame_index": 3, "skeleton": []},
    ]
    path = write(tmp_path / "a.json", {"data": data, "label": "yoga", "label_index": 399})
    found = keypoint_files.read(path)
    assert keypoint_files.format_of(path) == "Kinetics-skeleton JSON"
    assert found.skeleton == OPENPOSE_18
    assert found.keypoints.shape == (3, 1, 18, 3)
    assert np.allclose(found.keypoints[0, 0], pose, atol=1e-4)
    data[0]["frame_index"] = 10**12
    assert "is no frame of Kinetics-skeleton's" in refused(write(path, {"data": data}))


def test_northwestern_ucla(tmp_path):
    places = np.arange(60, dtype=float).reshape(1, 20, 3).tolist()
    path = write(tmp_path / "a.json", {"file_name": "a01_s01_e00_v01", "skeletons": places, "label": 1})
    found = keypoint_files.read(path)
    assert found.skeleton == KINECT_V1
    assert found.keypoints[0, 0, 19].tolist() == [57, 58, 59, 1]
    assert "skeletons is no array" in refused(write(path, {"file_name": "a", "skeletons": [[1], [1, 2]]}))


def test_npz_in_three_dimensions(tmp_path):
    places = np.random.default_rng(0).normal(size=(5, 25, 3))
    places[2, 3] = np.nan
    np.savez(tmp_path / "a.npz", positions=places, skeleton="ntu", rate=25.0, size=[640, 480])
    found = keypoint_files.read(tmp_path / "a.npz")
    assert found.is_spatial
    assert (found.skeleton, found.rate, found.size) == (NTU, 25, (640, 480))
    assert np.allclose(found.keypoints[0, 0, :, :3], places[0])
    assert not found.keypoints[2, 0, 3].any()
    np.savez(tmp_path / "b.npz", positions=places, skeleton="coco")
    assert "positions (5, 25, 3) where (frames, people, 17, 3) was expected" in refused(tmp_path / "b.npz")


def test_a_zip_that_unpacks_without_end_is_refused_unread(tmp_path, monkeypatch):
    monkeypatch.setattr(npz, "MOST", 1 << 20)
    path = tmp_path / "a.npz"
    np.savez_compressed(path, keypoints=np.zeros((20_000, 1, 17, 3), np.float32), skeleton="coco")
    assert path.stat().st_size < 30_000
    assert "unpacks into 0.0 GB, and joints of one video take megabytes" in refused(path)
    with zipfile.ZipFile(path) as file:
        assert len(file.infolist()) == 2


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"[" * 1_000_000, "JSON nested without end; it is no file of joints"),
        (b'{"a":' * 1_000_000, "JSON nested without end; it is no file of joints"),
        (b"", "not JSON"),
        (b"\xff\xfe\x00", "not JSON"),
        (b'{"a": 1}', "JSON, but of no format of joints that star knows; docs/ways-in.md lists them"),
        (b"[]", "an empty list, so nobody was found; leave it out"),
        (b'[{"keypoints": [[1, 2]], "keypoint_scores": [1]}]', "of one picture; give mmpose's Inferencer the video"),
        (b'{"images": [], "annotations": []}', "it lists no images"),
        (b'{"images": [{"id": 1, "file_name": "1.jpg"}], "annotations": []}', "no keypoints in it"),
        (b'[{"image_id": "1.jpg", "keypoints": [1, "x"]}]', "keypoints is no array of numbers with equal rows"),
        (
            b'{"file_name": "a", "skeletons": [[[1e999, 1, 1]]]}',
            "skeletons is (1, 1, 3) where (any, 20, 3) was",
        ),
        (b'{"data": [{"frame_index": 1, "skeleton": [{"pose": [1]}]}]}', "frame 1 is"),
        (b'[{"instances": [{"keypoints": [[1, 2, 3]]}]}]', "have 3 dimensions; star reads those in pixels"),
    ],
)
def test_hostile_and_broken_json_is_one_line(tmp_path, content, said):
    path = tmp_path / "a.json"
    path.write_bytes(content)
    assert said in refused(path)


def test_a_file_of_another_ending_is_none(tmp_path):
    (tmp_path / "a.txt").write_text("x")
    assert refused(tmp_path / "a.txt").startswith("no file of joints; known endings are .npz, .json")
    assert refused(tmp_path / "gone.json").startswith("No such file")


@pytest.mark.parametrize("ending", [".npz", ".json", ".skeleton", ".mat"])
def test_what_is_no_file_is_refused_without_waiting(tmp_path, ending):
    """A pipe would wait for a writer for ever, in the main process too; a dangling link; a device."""
    os.mkfifo(tmp_path / f"pipe{ending}")
    (tmp_path / f"link{ending}").symlink_to("nowhere")
    (tmp_path / f"zero{ending}").symlink_to("/dev/zero")
    for name, said in (("pipe", "neither a file nor a folder"), ("link", "No such file"), ("zero", "neither a file")):
        assert refused(tmp_path / f"{name}{ending}").startswith(said)
        with pytest.raises(AnnotationError):
            keypoint_files.skeleton_of(tmp_path / f"{name}{ending}")


@pytest.mark.parametrize("error", [ValueError, KeyError, TypeError, RecursionError, MemoryError, PermissionError])
def test_whatever_a_reader_trips_over_is_one_line(tmp_path, monkeypatch, error):
    """Of any type: the main process looks into files of joints too."""
    write(tmp_path / "a.json", {"people": []})
    np.savez(tmp_path / "a.npz", keypoints=np.ones((2, 1, 17, 3)), skeleton="coco")

    def fail(*_):
        raise error("injected")

    monkeypatch.setattr(keypoint_files, "load_json", fail)
    monkeypatch.setattr(npz, "_skeleton", fail)
    for name in ("a.json", "a.npz"):
        assert "injected" in refused(tmp_path / name)
        with pytest.raises(AnnotationError):
            keypoint_files.skeleton_of(tmp_path / name)


def test_two_videos_of_openpose_in_one_folder_are_not_mixed(tmp_path):
    """Both have a frame 0: whose joints are whose?"""
    for name in ("a", "b"):
        for frame in range(2):
            write(tmp_path / f"{name}_{frame:012}_keypoints.json", {"people": []})
    with pytest.raises(AnnotationError, match=r"b_0+_keypoints.json: the same frame as a_0+_keypoints.json; put each"):
        keypoint_files.read(tmp_path)
