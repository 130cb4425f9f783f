"""Layouts through the pipeline: cached joints in the layout that was asked for, from either source or from both."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from star.cli import main
from star.errors import RecipeError, UsageError
from star.pipeline.extraction.execution import ExecutionConfig
from star.pipeline.extraction.runner import extract
from star.pipeline.planning.joint_layout import check, for_other_source
from star.pipeline.planning.plan import Plan, plan
from star.pipeline.planning.stage_graph import graph
from star.pipeline.recipe import schema as recipes
from star.pipeline.visualization.clip_figure import limbs
from star.stages.skeleton_mapping import convert_joints
from star.stages.skeletons import COCO, H36M, NTU, PENN_ACTION, SKELETONS

pytestmark = pytest.mark.filterwarnings("ignore:The metainfo config file")  # mmpose looks in the current folder first

RTMPOSE = (
    "pose.model=rtmpose-t_8xb256-420e_coco-256x192", "pose.checkpoint=random", "pose.detector=frame",
)  # fmt: skip
WITH, WITHOUT = "S001C001P001R001A001_rgb.mp4", "S001C001P001R001A002_rgb.mp4"  # a .skeleton file


def keypoints(found: Plan) -> dict[tuple[str, int], np.ndarray]:
    """The cached joints (T, people, N, 3) of every clip."""
    stage = found.stages["pose"]
    return {clip: stage.stage_store.read([place], "keypoints")[0] for clip, place in stage.places.items()}


def skeleton_of(found: Plan) -> dict:
    """The layout as the segments themselves tell it."""
    stage_store = found.stages["pose"].stage_store
    return stage_store.segment(stage_store.segments()[0]).provenance["skeleton"]


@pytest.fixture(scope="module")
def ntu(drawn: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recipe for two videos with names of NTU's; two people walk through the first one's skeleton file."""
    root = tmp_path_factory.mktemp("ntu")
    for name, video in zip((WITH, WITHOUT), sorted((drawn / "videos").glob("*.mp4")), strict=False):
        shutil.copy(video, root / name)
    random = np.random.default_rng(0)
    lines = ["22"]
    for frame in range(22):
        lines.append("2")
        for body in (1, 2):
            lines += [f"7205759403793110{body} 0 1 1 1 1 0 0 0 2", "25"]
            places = np.array((20 * body + body * frame, 20)) + random.uniform(0, 20, (25, 2))
            lines += [f"0 0 3 200 100 {x:.3f} {y:.3f} 0 0 0 1 2" for x, y in places]
    (root / WITH.replace("_rgb.mp4", ".skeleton")).write_text("\n".join(lines) + "\n")
    path = root / "star.yaml"
    path.write_text(
        "dataset: {kind: ntu, root: ., split: xsub, missing: none}\ncache: {root: cache}\n"
        "decode: {views: {train: 3}}\nbackbone: {weights: random, size: 32}\n"
    )
    return path


@pytest.fixture(scope="module")
def poses(ntu: Path) -> dict[str, Plan]:
    """The pose stage under each source, in NTU's layout, on an own recipe each; and of both people."""
    found = {}
    for source in ("annotations", "mmpose", "auto"):
        recipe = recipes.load(ntu, ("pose.layout=ntu", "pose.people=2", *RTMPOSE, f"pose.source={source}"))
        extract(recipe, only=("pose",), execution=ExecutionConfig(workers=1), quiet=True)
        found[source] = plan(recipe)
    return found


KEYS = {  # of recipes older than layouts and choices: what is cached under them must still be found
    (): "60b42212648e2df3f5b0a0605e64226f",
    ("pose.occluded=true",): "475155a93ad8f03e0b8aefd81251bb81",
    ("pose.people=2",): "47d7d922a2cb5457ee0b1125c1a050ec",
    ("pose.source=mmpose",): "2aac0c0b570a4ab1ac3d1bae55ae8f22",
}


@pytest.mark.parametrize("overrides", KEYS, ids=str)
def test_recipes_without_the_new_settings_keep_their_keys(overrides: tuple[str, ...]) -> None:
    """`own` and `auto` are what recipes always meant; another layout or choice is another key."""
    text = "dataset: {kind: penn_action, root: /d}\ncache: {root: /c}\n"
    assert graph(recipes.parse(text, overrides=overrides))["pose"].key == KEYS[overrides]
    same = graph(recipes.parse(text, overrides=(*overrides, "pose.link=false")))
    assert same["pose"].key == KEYS[overrides]
    for other in ("pose.layout=coco", "pose.choose=largest", "pose.link=true"):
        assert graph(recipes.parse(text, overrides=(*overrides, other)))["pose"].key != KEYS[overrides]


def test_annotated_joints_in_another_layout(small: Path) -> None:
    """Every clip's joints, mirrored views too, are the conversion of what is cached in the data set's own layout."""
    poses = []
    for layout in ("own", "h36m"):
        recipe = recipes.load(small, (f"pose.layout={layout}", "decode.views.train=3"))
        extract(recipe, only=("heatmaps",), execution=ExecutionConfig(workers=1), quiet=True)
        poses.append(plan(recipe, only=("heatmaps",)))
    own, converted = map(keypoints, poses)
    assert own.keys() == converted.keys()
    for clip, joints in converted.items():
        np.testing.assert_allclose(joints, convert_joints(own[clip], PENN_ACTION, H36M), atol=1e-3)
    stage_store = poses[1].stages["heatmaps"].stage_store
    assert stage_store.segment(stage_store.segments()[0]).read("joint_heatmap").shape[1:] == (16, 17, 8, 8)
    assert skeleton_of(poses[1])["joints"] == list(H36M.joints)
    assert limbs(poses[1]) == list(H36M.limbs)


def test_segments_name_the_layout_of_estimated_joints(ntu: Path, poses: dict[str, Plan]) -> None:
    """mmpose's own 17 are told as COCO's, converted ones as what they were converted to."""
    recipe = recipes.load(ntu, (*RTMPOSE, "pose.source=mmpose", "pose.people=2"))
    extract(recipe, only=("pose",), execution=ExecutionConfig(workers=1), quiet=True)
    own = plan(recipe)
    assert (skeleton_of(own)["name"], skeleton_of(own)["joints"]) == ("coco", list(COCO.joints))
    assert (skeleton_of(poses["mmpose"])["name"], skeleton_of(poses["mmpose"])["joints"]) == ("ntu", list(NTU.joints))
    converted = keypoints(poses["mmpose"])
    for clip, joints in keypoints(own).items():
        assert joints.shape == (16, 2, 17, 3)
        np.testing.assert_allclose(converted[clip], convert_joints(joints, COCO, NTU), atol=1e-3)


def test_both_sources_give_the_numbers_of_each(poses: dict[str, Plan]) -> None:
    """Under `auto` an annotated video has the joints of `annotations`, the other those of `mmpose`, to the bit."""
    assert poses["annotations"].failures[WITHOUT].kind == "annotation"
    both, annotated, estimated = (keypoints(poses[name]) for name in ("auto", "annotations", "mmpose"))
    assert len(both) == 6
    for view in range(3):
        np.testing.assert_array_equal(both[WITH, view], annotated[WITH, view])
        np.testing.assert_array_equal(both[WITHOUT, view], estimated[WITHOUT, view])
        assert not np.array_equal(both[WITH, view], estimated[WITH, view])
        assert both[WITHOUT, view][..., 2].any()
    assert skeleton_of(poses["auto"])["name"] == "ntu"


def test_a_bad_annotation_fails_a_video_only_where_it_is_read(poses: dict[str, Plan]) -> None:
    """After `annotations` put a video into the ledger, `mmpose` and `auto` try it without being told to."""
    assert WITHOUT in plan(poses["annotations"].recipe).failures
    for source in ("mmpose", "auto"):
        assert not plan(poses[source].recipe).failures
        assert len(keypoints(poses[source])) == 6


def test_joints_that_come_later_are_used(ntu: Path, poses: dict[str, Plan]) -> None:
    """A video that gets a .skeleton file after it was extracted under `auto` is stale, and that one alone."""
    assert not poses["auto"].stages["pose"].stale
    late = ntu.parent / WITHOUT.replace("_rgb.mp4", ".skeleton")
    shutil.copy(ntu.parent / WITH.replace("_rgb.mp4", ".skeleton"), late)
    try:
        assert plan(poses["auto"].recipe).stages["pose"].stale == {WITHOUT}
    finally:
        late.unlink()


def test_a_fully_annotated_data_set_needs_no_estimator(ntu: Path, tmp_path: Path) -> None:
    """Under `auto` a pose network that could not be built is not asked for."""
    for name in (WITH, WITH.replace("_rgb.mp4", ".skeleton"), "star.yaml"):
        shutil.copy(ntu.parent / name, tmp_path / name)
    words = ("pose.source=auto", "pose.layout=ntu", "pose.detector=frame", "pose.model=no-such")
    recipe = recipes.load(tmp_path / "star.yaml", words)
    _, outcome = extract(recipe, only=("pose",), execution=ExecutionConfig(workers=1), quiet=True)
    assert (outcome.rows["pose"], outcome.failures) == (3, [])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ("pose.detector=frame",),
            "pose.layout: own: under pose.source auto annotated and estimated joints need one layout; set it to the "
            "data set's, like penn_action or ntu",
        ),
        (
            ("pose.layout=ntu",),
            "pose.detector: annotations: under pose.source auto it serves the videos that have none; set it to frame "
            "or to a torchvision detector",
        ),
    ],
)
def test_both_sources_must_fit_each_other(ntu: Path, words: tuple[str, ...], said: str) -> None:
    """One layout, and people found without an annotation: refused when the recipe is read."""
    with pytest.raises(RecipeError) as caught:
        recipes.load(ntu, ("pose.source=auto", *words))
    assert str(caught.value) == f"{ntu}: {said}"


def test_an_estimator_of_something_else_is_refused_at_once(ntu: Path) -> None:
    """Hands cannot be converted into bodies: one line, no video in the ledger."""
    model = "pose.model=td-hm_hrnetv2-w18_8xb64-210e_onehand10k-256x256"
    recipe = recipes.load(ntu, ("pose.source=mmpose", *RTMPOSE, model, "pose.layout=ntu", "cache.root=other"))
    with pytest.raises(RecipeError) as caught:
        extract(recipe, only=("pose",), execution=ExecutionConfig(workers=1), quiet=True)
    assert str(caught.value) == (
        "pose.layout: ntu: joints of onehand10k have no left_shoulder; set it to own, or choose another pose.model"
    )
    assert not (ntu.parent / "other" / "failures.jsonl").exists()


@pytest.fixture(scope="module")
def run(extracted: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was trained on the drawn data set's annotated 13 joints."""
    folder = tmp_path_factory.mktemp("runs") / "first"
    assert CliRunner().invoke(main, ["train", str(extracted), "--run", str(folder), "-q"]).exit_code == 0
    return folder


def predict(run: Path, *words: str | Path) -> Result:
    return CliRunner().invoke(main, ["predict", *map(str, words), "--run", str(run), "--json", "-q"])


def test_a_network_of_annotated_joints_judges_a_strangers_video(run: Path, ntu: Path) -> None:
    """`--set pose.source=mmpose` is enough: the layout is the run's, and a top-5 comes out."""
    words = [word for setting in ("pose.source=mmpose", *RTMPOSE) for word in ("--set", setting)]
    result = predict(run, ntu.parent / WITHOUT, *words)
    assert result.exit_code == 0, result.output
    (answer,) = json.loads(result.stdout)
    assert len(answer["top"]) == 5
    assert sum(top["probability"] for top in answer["top"]) <= 1


def test_a_strangers_video_without_it_says_what_to_set(run: Path, ntu: Path, tmp_path: Path) -> None:
    """One line for each video, exit code 3; a file that is not there is told apart."""
    result = predict(run, ntu.parent / WITHOUT, tmp_path / "none.mp4")
    assert result.exit_code == 3
    assert [answer["error"] for answer in json.loads(result.stdout)] == [
        "not in the run's data set, so it has no annotated joints; --set pose.source=mmpose estimates them",
        "no such file",
    ]


def test_the_layout_is_known_where_the_data_set_is_not(extracted: Path, ntu: Path) -> None:
    """By the list, else by the kind of data set; where neither tells, the line says what to set."""
    drawn = recipes.load(extracted)
    detector = "pose.detector=fasterrcnn_mobilenet_v3_large_320_fpn"
    assert for_other_source(drawn, None, ("pose.source=mmpose",)) == ("pose.layout=penn_action", detector)
    assert for_other_source(recipes.load(ntu), NTU, ("pose.source=auto",)) == ("pose.layout=ntu", detector)
    assert for_other_source(drawn, None, ("pose.source=mmpose", "pose.layout=coco", "pose.detector=frame")) == ()
    assert for_other_source(drawn, None, ("heatmaps.sigma=2",)) == ()
    videos = recipes.load(extracted, ("dataset.kind=videos",))
    with pytest.raises(UsageError) as caught:
        for_other_source(videos, None, ("pose.source=mmpose",))
    assert str(caught.value) == (
        "--set pose.source: the layout of the joints that the run was trained on is not known here; "
        f"add --set pose.layout=NAME, one of {', '.join(SKELETONS)}"
    )


def test_joints_that_the_network_cannot_take_are_refused(run: Path, extracted: Path) -> None:
    """COCO's 17 where it was trained on 13: both counts, before a video is opened; without joint tokens none counts."""
    recipe = recipes.load(extracted, ("pose.layout=coco",))
    note = {"arrays": ["global_grid", "joint_map"], "network": {"joints": 13}}
    with pytest.raises(UsageError) as caught:
        check(recipe, PENN_ACTION, run, note)
    assert str(caught.value) == (
        f"--run {run}: its network takes 13 joints, and these settings give 17 (coco); "
        "set pose.layout, pose.people, heatmaps.of and heatmaps.people to what it was trained on"
    )
    check(recipe, PENN_ACTION, run, {**note, "arrays": ["global_grid"]})
    check(recipes.load(extracted), PENN_ACTION, run, note)
