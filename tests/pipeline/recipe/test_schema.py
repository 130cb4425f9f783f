"""Recipes: what is accepted, what is refused, and in which words."""

from __future__ import annotations

from pathlib import Path

import pytest

from star.errors import RecipeError, UsageError
from star.pipeline.planning.plan import worthwhile
from star.pipeline.planning.stage_graph import graph
from star.pipeline.recipe import schema as recipes
from star.pipeline.recipe.presets import names, ready

SHORT = "dataset: {kind: drawn, root: videos}\ncache: {root: cache}\n"


def test_a_recipe_of_two_lines_is_complete() -> None:
    """What it does not say has the default of docs/method.md; training's are the paper's."""
    recipe = recipes.parse(SHORT)
    assert (recipe.decode.frames, recipe.backbone.size, recipe.heatmaps.sigma) == (16, 112, 1.0)
    train = recipe.train
    assert (train.optimizer, train.learning_rate, train.momentum, train.batch, train.epochs) == (
        "sgd",
        2e-4,
        0.9,
        4,
        300,
    )


def test_a_dumped_recipe_reads_back_the_same() -> None:
    """A run's recipe.yaml says everything: reading it gives the recipe that was dumped."""
    recipe = recipes.parse(SHORT + "train: {learning_rate: 1e-3}\nmodel: {encoder: [F]}\n", base=Path("/data"))
    assert recipes.parse(recipes.dump(recipe)) == recipe


def test_numbers_as_people_write_them() -> None:
    """1e-3 is a number, although YAML 1.1 calls it text."""
    assert recipes.parse(SHORT + "train: {learning_rate: 1e-3}").train.learning_rate == 0.001


def test_relative_paths_count_from_the_recipe(tmp_path: Path) -> None:
    """A recipe means the same wherever it is run from; official names of weights are no paths."""
    path = tmp_path / "star.yaml"
    path.write_text(SHORT + "backbone: {weights: mc3.pth}\n")
    recipe = recipes.load(path)
    assert recipe.dataset.root == tmp_path / "videos"
    assert recipe.backbone.weights == str(tmp_path / "mc3.pth")
    assert recipe.pose.checkpoint == "official"


def test_set_lays_values_over_the_recipe() -> None:
    """--set a.b=c reads its value as YAML and may open a section that the file lacks."""
    recipe = recipes.parse(SHORT, overrides=("heatmaps.sigma=1.5", "decode.views.train=4", "model.encoder=[F]"))
    assert (recipe.heatmaps.sigma, recipe.decode.views.train, recipe.model.encoder) == (1.5, 4, ("F",))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- 1", "recipe: a recipe is a list of sections, like 'dataset:'; `star init` prints one"),
        ("cache: {root: c}", "recipe: dataset: missing; it has no default"),
        (SHORT + "backbone: {wieghts: x}", "recipe: backbone.wieghts: unknown key; did you mean 'weights'?"),
        (SHORT + "tokens: {zzz: x}", "recipe: tokens.zzz: unknown key; known are form"),
        (SHORT + "bakbone: {}", "recipe: bakbone: unknown key; did you mean 'backbone'?"),
        (
            SHORT + "heatmaps: {sigma: wide}",
            "recipe: heatmaps.sigma: 'wide': input should be a valid number, unable to parse string as a number",
        ),
        (SHORT + "heatmaps: {sigma: 0}", "recipe: heatmaps.sigma: 0: input should be greater than or equal to 0.01"),
        (
            SHORT + "tokens: {form: maps}",
            "recipe: tokens.form: 'maps': input should be 'pool', 'pool_map', 'map', 'heatmap' or 'concat_conv'",
        ),
        (SHORT + "decode: 5", "recipe: decode: expected a section of settings, got 5"),
        (
            SHORT + "decode: {frames: 15}",
            "recipe: decode.frames: 15 is odd; zigzag and binary attention need an even number",
        ),
        (
            SHORT + "decode: {jpeg: scaled}\npose: {source: mmpose}",
            "recipe: decode.jpeg: scaled needs pose.source: annotations, not mmpose: a pose network looks at whole "
            "frames; set decode.jpeg to exact",
        ),
        (
            SHORT + "model: {width: 100}",
            "recipe: model.width: 100 is not a multiple of model.heads (8)",
        ),
    ],
)  # fmt: skip
def test_a_wrong_value_is_one_line_that_names_it(text: str, message: str) -> None:
    """Unknown key, wrong type, missing section, impossible value: which, and what is allowed."""
    with pytest.raises(RecipeError) as caught:
        recipes.parse(text)
    assert str(caught.value) == message


def test_broken_yaml_is_one_line() -> None:
    """The parser's own message spans lines; ours does not."""
    with pytest.raises(RecipeError, match=r"^recipe: not YAML: ") as caught:
        recipes.parse("dataset: {kind: [")
    assert "\n" not in str(caught.value)


def test_yaml_cannot_run_code() -> None:
    """A stranger's recipe is data: tags that build objects are refused."""
    with pytest.raises(RecipeError, match="could not determine a constructor"):
        recipes.parse("dataset: !!python/object/apply:os.system ['true']")


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("heatmaps.sigma", "--set heatmaps.sigma: expected section.key=value"),
        ("heatmaps.sigma=[", "--set heatmaps.sigma=[: the value is not YAML; quote it"),
        ("dataset.kind.x=1", "--set dataset.kind.x=1: kind is a value, not a section"),
    ],
)
def test_a_wrong_override_is_one_line(override: str, message: str) -> None:
    """What is wrong with --set is said of --set."""
    with pytest.raises(RecipeError) as caught:
        recipes.parse(SHORT, overrides=(override,))
    assert str(caught.value) == message


def test_a_missing_recipe_says_how_to_make_one(tmp_path: Path) -> None:
    """The first thing that goes wrong for a newcomer."""
    with pytest.raises(RecipeError) as caught:
        recipes.load(tmp_path / "star.yaml")
    expected = (
        f"{tmp_path}/star.yaml: No such file or directory; `star init NAME --root DIR > star.yaml` makes a recipe"
    )
    assert str(caught.value) == expected


@pytest.mark.parametrize("name", names())
def test_every_ready_recipe_is_valid(name: str, tmp_path: Path) -> None:
    """Each recipe that `star init` prints is accepted as it is, also with a path that YAML could misread."""
    root = tmp_path / "it's: a [path]"
    recipe = recipes.parse(ready(name, root, tmp_path / "cache"))
    assert recipe.dataset.root == root


PAPER = (  # what docs/method.md calls the paper's, setting by setting
    "decode.frames=16", "backbone.weights=kinetics400", "backbone.size=224", "backbone.crop=frame",
    "backbone.global_layer=layer4", "tokens.form=pool", "model.modalities=both", "model.position=joint",
    "model.encoder=[F, Z]", "model.decoder=[F, B]", "model.norm=post", "model.readout=class_tokens",
    "train.optimizer=sgd", "train.learning_rate=2e-4", "train.momentum=0.9", "train.batch=4", "train.epochs=300",
)  # fmt: skip
CHOSEN = sorted(set(names()) - {"drawn", "joints"})


def preset(name: str, kind: str | None, root: Path) -> recipes.Recipe:
    return recipes.parse(ready(name, root, root / "cache", kind))


@pytest.mark.parametrize("name", CHOSEN)
def test_the_papers_preset_is_what_the_sources_state(name: str, tmp_path: Path) -> None:
    """Laying the paper's numbers over it changes nothing, and nothing of the network or its training is ours but
    what is a default."""
    paper = preset(name, "paper", tmp_path)
    assert recipes.parse(ready(name, tmp_path, tmp_path / "cache", "paper"), overrides=PAPER) == paper
    assert (paper.model, paper.train) == (recipes.ModelSettings(), recipes.TrainSettings())


def test_what_the_paper_does_not_state_is_marked(tmp_path: Path) -> None:
    """A setting of the printed recipe is one of the paper's, or its line says that no source states it."""
    stated = {line.partition("=")[0].rpartition(".")[2] for line in PAPER}
    lines = ready("penn-action", tmp_path, tmp_path, "paper").partition("decode:")[2].splitlines()
    settings = {line.split(":")[0].strip(): line for line in lines if line.startswith("  ") and "#" not in line[:4]}
    marked = {name for name, line in settings.items() if "# not stated" in line}
    assert marked | stated == settings.keys()
    assert marked & stated == set()
    assert {"local_layer", "sigma", "width", "encoder_layers", "weight_decay", "sampling"} <= marked


@pytest.mark.parametrize("name", CHOSEN)
def test_presets_differ_as_they_say(name: str, tmp_path: Path) -> None:
    """`fast` is the default: what and where in a token, standardised, augmented. `joints` runs no video network."""
    fast, joints = preset(name, "fast", tmp_path), preset(name, "joints", tmp_path)
    assert preset(name, None, tmp_path) == fast
    assert (fast.backbone.size, fast.tokens.form, fast.model.standardize) == (112, "pool_map", True)
    assert fast.train.augment == joints.train.augment != recipes.AugmentSettings()
    assert (joints.tokens.form, joints.model.modalities) == ("heatmap", "joint")
    assert "backbone" not in worthwhile(joints, graph(joints))
    assert fast.pose == joints.pose == preset(name, "paper", tmp_path).pose


def test_a_recipe_with_settings_of_its_own_says_so(tmp_path: Path) -> None:
    """The demo's settings are none of the presets."""
    with pytest.raises(UsageError, match=r"^init drawn --preset fast: this recipe has settings of its own; leave "):
        ready("drawn", tmp_path, tmp_path, "fast")


def test_all_promised_recipes_are_there() -> None:
    """The names that others rely on."""
    promised = {"penn-action", "ntu60-xsub", "ntu60-xview", "ntu120-xsub", "ntu120-xset", "videos", "drawn"}
    assert promised <= set(names())


def test_a_wrong_recipe_name_suggests_the_right_one(tmp_path: Path) -> None:
    """`star init pen-action` is a typing error."""
    with pytest.raises(UsageError, match=r"^init pen-action: no such recipe; did you mean 'penn-action'\? there are "):
        ready("pen-action", tmp_path, tmp_path)


def test_an_odd_number_of_frames_is_enough_for_full_attention() -> None:
    """Only zigzag and binary attention need pairs of frames."""
    text = "dataset: {kind: videos, root: videos}\ncache: {root: cache}\ndecode: {frames: 15}\n"
    assert recipes.parse(text + "model: {encoder: [F], decoder: [F]}").decode.frames == 15
