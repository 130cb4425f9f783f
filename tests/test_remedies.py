"""Every message that recommends a command: the fault is made, the message is followed literally, and all is well.

`FAULTS` makes one fault each and returns the message that tells of it. What a message says in backquotes is run, with
RECIPE and RUN as in the messages; a command without its recipe is meant for the recipe at hand.
"""

from __future__ import annotations

import ast
import json
import re
import shlex
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
import pytest
from click.testing import CliRunner, Result

import star as package
from star.cache.digest import segment_name
from star.cache.store import StageStore
from star.cli import main
from star.pipeline.planning.plan import plan
from star.pipeline.recipe import schema as recipes

COMMAND = re.compile(r"`star ([^`]+)`")
OF_A_RECIPE = {"extract", "scan", "status", "verify", "train", "test", "ablate", "model", "inspect", "split"}


@dataclass
class Place:
    """A recipe with a full cache of its own, and a run's folder."""

    recipe: Path
    run: Path
    told: str = ""

    def star(self, *words: object) -> Result:
        """One command, in this process."""
        more = ["--device", "cpu"] if words[0] in ("train", "test", "extract") else []
        quiet = [] if words[0] == "init" else ["-q"]
        result = CliRunner().invoke(main, [*map(str, words), *more, *quiet])
        assert result.exception is None or isinstance(result.exception, SystemExit), (words, result.exc_info)
        return result

    def fails(self, *words: object) -> str:
        """A command that does not end well; what it says."""
        result = self.star(*words)
        assert result.exit_code not in (0, 1), result.output
        return result.stderr or result.stdout

    def works(self, *words: object) -> str:
        """A command that ends with exit code 0; what it says."""
        result = self.star(*words)
        assert result.exit_code == 0, (words, result.output, result.stderr)
        return result.stdout

    def commands(self, told: str) -> list[list[str]]:
        """The commands that a message recommends, as they are typed."""
        found = []
        for text in COMMAND.findall(told):
            words = [{"RECIPE": str(self.recipe), "RUN": str(self.run)}.get(word, word) for word in shlex.split(text)]
            if words[0] in OF_A_RECIPE and str(self.recipe) not in words and words[1:2] != ["cache"]:
                words.insert(1, str(self.recipe))
            if words[0] in ("train", "test") and "--run" not in words:
                words += ["--run", str(self.run)]
            found.append(words)
        return found

    def follow(self, told: str) -> None:
        """Run all that a message recommends, in its order; each ends with exit code 0."""
        commands = self.commands(told)
        assert commands, told
        for words in commands:
            self.works(*words)

    def shelf(self, stage: str) -> StageStore:
        return plan(recipes.load(self.recipe)).stages[stage].stage_store

    def segment(self, stage: str) -> Path:
        stage_store = self.shelf(stage)
        return stage_store.file(stage_store.segments()[0])


@pytest.fixture
def place(small: Path, tmp_path: Path) -> Place:
    return Place(small, tmp_path / "run")


FAULTS: dict[str, Callable[[Place], None]] = {}


def fault(check: Callable[[Place], None]) -> Callable[[Place], None]:
    FAULTS[check.__name__] = check
    return check


def rewritten(path: Path, change: Callable[[h5py.File], None]) -> Path:
    """Change a segment, and give it the name of its new bytes."""
    with h5py.File(path, "r+") as file:
        change(file)
    with path.open("rb") as file:
        name = segment_name(file)
    return path.rename(path.with_name(f"{name}.h5"))


def mend(place: Place, told: str) -> None:
    """A message about a segment: its command moves it aside, `star extract` makes its clips again, all is well."""
    assert ["verify", str(place.recipe), "--repair"] in place.commands(told), told
    place.follow(told)
    place.works("extract", place.recipe, "--workers", 1)
    assert place.works("verify", place.recipe).startswith("all is well")


@fault
def cache_hdf5_guard__moves_it_aside(place: Place) -> None:
    """A byte of a row that training reads."""
    path = place.segment("tokens")
    content = bytearray(path.read_bytes())
    content[place.shelf("tokens").segment(path.stem).layout("joint_map").offset] ^= 8
    path.write_bytes(content)
    mend(place, place.fails("train", place.recipe, "--run", place.run))
    place.works("train", place.recipe, "--run", place.run)


@fault
def cache_header__gone(place: Place) -> None:
    """A segment that vanishes between planning and reading: the message, then the command that it names."""
    from star.cache.segment import Segment
    from star.errors import MissingFeatures

    path = place.segment("tokens")
    path.unlink()
    with pytest.raises(MissingFeatures) as caught:
        Segment(path)
    place.follow(str(caught.value))
    assert place.works("verify", place.recipe).startswith("all is well")


@fault
def cache_header__another_version(place: Place) -> None:
    """A segment of a later format."""
    rewritten(place.segment("pose"), lambda file: file.attrs.modify("format_version", 9))
    mend(place, place.fails("status", place.recipe))


@fault
def cache_store__not_a_description(place: Place) -> None:
    """stage.json of a stranger: remove it, as the message says."""
    path = place.shelf("heatmaps").path / "stage.json"
    path.write_text('{"format": "star stage", "format_version": 1, "stage": 5}')
    told = place.fails("status", place.recipe)
    assert f"{path}: " in told and "remove it, `star extract` writes it anew" in told
    path.unlink()
    place.follow(told)
    assert place.works("verify", place.recipe).startswith("all is well")


@fault
def cache_verify__no_description(place: Place) -> None:
    """stage.json is gone."""
    (place.shelf("heatmaps").path / "stage.json").unlink()
    told = place.fails("verify", place.recipe)
    place.follow(told.splitlines()[0])
    assert place.works("verify", place.recipe).startswith("all is well")


@fault
def cache_verify__another_keys_description(place: Place) -> None:
    """stage.json says other settings: remove it, as the message says, then the last line's command."""
    path = place.shelf("heatmaps").path / "stage.json"
    about = json.loads(path.read_text())
    path.write_text(json.dumps(about | {"version": about["version"] + 1}))
    told = place.fails("verify", place.recipe)
    assert "its settings are not those of this key; remove it" in told
    path.unlink()
    place.follow(told)
    assert place.works("verify", place.recipe).startswith("all is well")


@fault
def cache_segment__another_row(place: Place) -> None:
    """Two segments whose names were exchanged."""
    stage_store = place.shelf("backbone")
    first, second = (stage_store.file(name) for name in stage_store.segments()[:2])
    first.rename(first.with_suffix(".x"))
    second.rename(first)
    first.with_suffix(".x").rename(second)
    mend(place, place.fails("train", place.recipe, "--run", place.run))


@fault
def cache_segment__another_key(place: Place) -> None:
    """A segment of another shelf: `star verify` names it; removed as its own message says, all is made again."""
    source = place.shelf("pose")
    about = plan(recipes.load(place.recipe, ("pose.occluded=true",))).stages["pose"].stage_store
    about.path.mkdir(parents=True, exist_ok=True)
    path = place.segment("pose")
    segment = source.segment(path.stem)
    other = StageStore(source.path.parent / ("f" * 32), "pose", "f" * 32)
    arrays = {name: segment.read(name) for name in segment.names}
    made = other.write(segment.rows, arrays, segment.head.attributes, {})
    stray = made.rename(source.path / made.name)
    from star.errors import FormatError

    with pytest.raises(FormatError, match=r"belongs to pose/f+; move it there, or remove it"):
        source.segment(stray.stem)
    stray.unlink()
    place.works("extract", place.recipe, "--workers", 1)
    shutil.rmtree(other.path)
    assert place.works("verify", place.recipe).startswith("all is well")


@fault
def cache_merge__a_bad_segment(place: Place) -> None:
    """A segment that is not what was written is not copied."""
    path = place.segment("heatmaps")
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    copy = ("cache", "copy", place.recipe, place.recipe.parent / "cache", place.recipe.parent / "copied")
    mend(place, place.fails(*copy))
    place.works(*copy)


@fault
def cache_merge__a_bad_description(place: Place) -> None:
    """stage.json of other settings is not copied."""
    path = place.shelf("heatmaps").path / "stage.json"
    about = json.loads(path.read_text())
    path.write_text(json.dumps(about | {"version": about["version"] + 1}))
    copy = ("cache", "copy", place.recipe, place.recipe.parent / "cache", place.recipe.parent / "copied")
    mend(place, place.fails(*copy))
    place.works(*copy)


@fault
def planning_plan__nothing_extracted(place: Place) -> None:
    """Training before extracting."""
    shutil.rmtree(place.recipe.parent / "cache")
    place.follow(place.fails("train", place.recipe, "--run", place.run))
    place.works("train", place.recipe, "--run", place.run)


@fault
def planning_train_test_selection__left_out(place: Place) -> None:
    """Clips without features are counted where the message says."""
    place.segment("tokens").unlink()
    result = CliRunner().invoke(main, ["train", str(place.recipe), "--run", str(place.run), "--device", "cpu"])
    assert result.exit_code == 0
    told = next(line for line in result.stderr.splitlines() if line.startswith("left out: "))
    place.follow(told)
    assert "missing" in place.works("status", place.recipe)


@fault
def planning_status__broken_segments(place: Place) -> None:
    """`star status` names the way out."""
    path = place.segment("heatmaps")
    (path.parent / "index").unlink()
    path.write_bytes(b"no HDF5")
    mend(place, place.works("status", place.recipe))


@fault
def checks_verify__the_last_line(place: Place) -> None:
    """--repair and `star extract`, as the last line says."""
    path = place.segment("pose")
    path.write_bytes(path.read_bytes()[:-8])
    told = place.fails("verify", place.recipe).splitlines()[-1]
    assert told.startswith("--repair moves the bad segments aside, then `star extract` makes exactly their clips again")
    said = place.works("verify", place.recipe, "--repair")
    place.follow(said.splitlines()[-1])
    assert place.works("verify", place.recipe).startswith("all is well")


@fault
def checks_verify__a_wrong_index(place: Place) -> None:
    """An index with rows of segments that are other ones now."""
    stage_store = place.shelf("tokens")
    first, second = (stage_store.file(name) for name in stage_store.segments()[:2])
    first.rename(first.with_suffix(".x"))
    second.rename(first)
    first.with_suffix(".x").rename(second)
    told = place.fails("verify", place.recipe)
    assert "index: says of the segments what is not in them; --repair makes it anew" in told
    place.works("verify", place.recipe, "--repair")
    place.works("extract", place.recipe, "--workers", 1)
    assert place.works("verify", place.recipe).startswith("all is well")


@fault
def extraction_audit__other_values(place: Place) -> None:
    """Rows that another recipe computed, with all digests right."""
    recipe = recipes.load(place.recipe)
    stage = plan(recipe).stages["backbone"]
    for name in stage.stage_store.segments():
        segment = stage.stage_store.segment(name)
        arrays = {array: segment.read(array) * np.float16(1.5) for array in segment.names}
        inputs = {above: segment.inputs[:, number] for number, above in enumerate(segment.head.inputs)}
        rows, about = segment.rows, segment.head.attributes
        segment.path.unlink()
        stage.stage_store.write(rows, arrays, about, {}, inputs=inputs)
    told = place.fails("extract", place.recipe, "--audit", 2, "--workers", 1)
    first, second = place.commands(told)
    assert first[0] == "verify" and "made from other rows" in place.fails(*first)
    place.works(*second, "--workers", 1)
    place.works("extract", place.recipe, "--audit", 2, "--workers", 1)
    assert place.works("verify", place.recipe).startswith("all is well")


@fault
def training_dataset__other_shapes(place: Place) -> None:
    """A segment that was replaced behind the index, without the array that is read."""
    path = place.segment("backbone")
    stage_store = place.shelf("backbone")
    segment = stage_store.segment(path.stem)
    arrays = {"local_map": segment.read("local_map")}
    inputs = {above: segment.inputs[:, number] for number, above in enumerate(segment.head.inputs)}
    stage_store.write(segment.rows, arrays, segment.head.attributes, {}, inputs=inputs).replace(path)
    told = place.fails("train", place.recipe, "--run", place.run)
    assert "has no global_grid" in told or "elsewhere" in told
    mend(place, told)


@fault
def training_run_dir__a_run_in_the_folder(place: Place) -> None:
    """--resume continues it, another folder starts anew."""
    place.works("train", place.recipe, "--run", place.run)
    told = place.fails("train", place.recipe, "--run", place.run)
    assert "holds a run already; --resume continues it, another folder starts anew" in told
    place.works("train", place.recipe, "--run", place.run, "--resume")
    place.works("train", place.recipe, "--run", place.run.with_name("another"))


@fault
def training_run_dir__no_run_to_resume(place: Place) -> None:
    """leave --resume out to start one."""
    told = place.fails("train", place.recipe, "--run", place.run, "--resume")
    assert "no run to resume; leave --resume out to start one" in told
    place.works("train", place.recipe, "--run", place.run)


@fault
def training_run_dir__metrics_that_are_none(place: Place) -> None:
    """remove it."""
    place.works("train", place.recipe, "--run", place.run)
    metrics = place.run / "metrics.jsonl"
    metrics.unlink()
    metrics.mkdir()
    told = place.fails("report", place.run, "-o", place.run / "page.html")
    assert told.endswith("remove it\n") and str(metrics) in told
    metrics.rmdir()
    place.works("report", place.run, "-o", place.run / "page.html")


@fault
def training_trainer__stopped(place: Place) -> None:
    """the same command with --resume goes on from there."""
    from star.pipeline.training.distributed import ProcessGroup

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ProcessGroup, "any", lambda ranks, flag: True)
        told = place.fails("train", place.recipe, "--run", place.run)
    assert "the same command with --resume goes on from there" in told
    place.works("train", place.recipe, "--run", place.run, "--resume")


@fault
def training_trainer__not_finite_features(place: Place) -> None:
    """Clips that are not finite although their digests are right: `star verify` finds them, and names the way out."""
    stage_store = place.shelf("tokens")
    for name in stage_store.segments():
        segment = stage_store.segment(name)
        arrays = {"joint_map": np.full_like(segment.read("joint_map"), np.nan)}
        inputs = {above: segment.inputs[:, number] for number, above in enumerate(segment.head.inputs)}
        rows, about = segment.rows, segment.head.attributes
        segment.path.unlink()
        stage_store.write(rows, arrays, about, {}, inputs=inputs)
    result = place.star("train", place.recipe, "--run", place.run)
    assert result.exit_code == 1 and "the loss is nan" in result.stderr
    (words,) = place.commands(result.stderr)
    told = place.fails(*words)
    assert "not finite" in told
    place.works("verify", place.recipe, "--repair")
    place.follow(told.splitlines()[-1])
    place.works("train", place.recipe, "--run", place.run)


@fault
def training_checkpoint__none(place: Place) -> None:
    """No run at all: the command that makes it."""
    told = place.fails("train", place.recipe, "--run", place.run, "--init", place.run.with_name("first"))
    place.follow(told)
    place.works("train", place.recipe, "--run", place.run, "--init", place.run.with_name("first"))


@fault
def training_checkpoint__deleted(place: Place) -> None:
    """A run's weights are gone or cut short: delete it, then the command that makes it, which finds the run there."""
    place.works("train", place.recipe, "--run", place.run)
    path = place.run / "last" / "weights.safetensors"
    before = path.read_bytes()
    path.write_bytes(before[:-5])
    assert "delete it, or train again" in place.fails("test", place.recipe, "--run", place.run)
    path.unlink()
    place.follow(place.fails("test", place.recipe, "--run", place.run))
    place.works("test", place.recipe, "--run", place.run)


@fault
def training_checkpoint__no_best(place: Place) -> None:
    """The weights of the best epoch are gone: those of the last serve."""
    held = "--set", "dataset.val_share=0.3"
    place.works("train", place.recipe, "--run", place.run, *held)
    (place.run / "best" / "weights.safetensors").unlink()
    told = place.fails("test", place.recipe, "--run", place.run, *held, "--set", "test.checkpoint=best")
    assert told.endswith("another one is: --set test.checkpoint=last\n")
    place.works("test", place.recipe, "--run", place.run, *held, "--set", "test.checkpoint=last")


@fault
def planning_train_test_selection__no_validation_videos(place: Place) -> None:
    """What the test videos would choose is refused; each way out goes through."""
    for setting, without in (
        ("train.patience=2", "train.patience=0"),
        ("test.checkpoint=best", "test.checkpoint=last"),
    ):
        words = "train", place.recipe, "--run", place.run.with_name(setting[:10])
        told = place.fails(*words, "--set", setting)
        assert "has no validation videos, and an epoch that its test videos choose would flatter them" in told
        place.works(*words, "--set", without)
        assert "would flatter them" in place.fails("test", *words[1:], "--set", "test.checkpoint=best")
        held = "--set", "dataset.val_share=0.3"
        words = "train", place.recipe, "--run", place.run.with_name(f"{setting[:10]}-val")
        place.works(*words, "--set", setting, *held)
        place.works("test", *words[1:], *held, "--set", "test.checkpoint=best")


@fault
def training_checkpoint__a_broken_state(place: Place) -> None:
    """delete it, or train again."""
    place.works("train", place.recipe, "--run", place.run)
    state = place.run / "last" / "state.safetensors"
    state.write_bytes(state.read_bytes()[:-5])
    told = place.fails("train", place.recipe, "--run", place.run, "--resume")
    assert "delete it, or train again" in told
    state.unlink()
    place.works("train", place.recipe, "--run", place.run, "--resume")


@fault
def training_transfer__frozen(place: Place) -> None:
    """began with --freeze; --resume goes on as it began."""
    first = place.run.with_name("first")
    place.works("train", place.recipe, "--run", first)
    place.works("train", place.recipe, "--run", place.run, "--init", first, "--freeze")
    told = place.fails("train", place.recipe, "--run", place.run, "--resume")
    assert "began with --freeze; --resume goes on as it began" in told
    place.works("train", place.recipe, "--run", place.run, "--resume", "--freeze")


@fault
def checks_outliers__an_empty_cache(place: Place) -> None:
    """`star inspect --worst` before extracting."""
    shutil.rmtree(place.recipe.parent / "cache")
    inspect = ("inspect", place.recipe, "--worst", 2, "-o", place.run.with_suffix(".png"))
    place.follow(place.fails(*inspect))
    place.works(*inspect)


@fault
def visualization_clip_figure__an_empty_cache(place: Place) -> None:
    """`star inspect` before extracting."""
    shutil.rmtree(place.recipe.parent / "cache")
    inspect = ("inspect", place.recipe, "bow_000.mp4", "-o", place.run.with_suffix(".png"))
    place.follow(place.fails(*inspect))
    place.works(*inspect)


@fault
def commands_cache_export__an_empty_cache(place: Place) -> None:
    """`star cache export` before extracting, and of a part."""
    export = ("cache", "export", place.recipe, "--format", "npy", "-o")
    place.segment("tokens").unlink()
    said = place.works(*export, place.run.with_name("part"))
    place.follow(said)
    shutil.rmtree(place.recipe.parent / "cache")
    place.follow(place.fails(*export, place.run.with_name("all")))
    place.works(*export, place.run.with_name("all"))


@fault
def commands_extract__failed_videos(place: Place) -> None:
    """--retry-failed tries again, once the file is whole."""
    root = place.recipe.parent / "data"
    shutil.copytree(recipes.load(place.recipe).dataset.root, root)
    words = ("extract", place.recipe, "--workers", 1, "--set", f"dataset.root={root}")
    video = root / "videos" / "bow_000.mp4"
    before = video.read_bytes()
    video.write_bytes(b"x")
    told = place.fails(*words)
    assert "1 video failed, see " in told and "--retry-failed tries again" in told
    video.write_bytes(before)
    place.works(*words, "--retry-failed")


@fault
def commands_cache__no_recipe(place: Place) -> None:
    """`star cache diff` of a folder that is neither: the command that lists them."""
    root = place.recipe.parent / "cache"
    told = place.fails("cache", "diff", root, place.recipe)
    (words,) = (text.replace("CACHE", str(root)) for text in COMMAND.findall(told))
    place.works(*shlex.split(words))


@fault
def commands_cache__gc(place: Place) -> None:
    """--yes deletes."""
    place.works("extract", place.recipe, "--workers", 1, "--set", "heatmaps.sigma=2", "--stage", "heatmaps")
    assert "--yes deletes" in place.works("cache", "gc", place.recipe)
    assert " deleted" in place.works("cache", "gc", place.recipe, "--yes")


@fault
def commands_split__folds(place: Place) -> None:
    """The command that trains and tests all folds."""
    told = place.works("split", place.recipe, "--folds", 2)
    (words,) = place.commands(told)
    place.works(*words, "--runs", place.run, "--seeds", 1)


@fault
def commands_train__what_to_do_next(place: Place) -> None:
    """`star test` judges it, `star report` draws it."""
    told = place.works("train", place.recipe, "--run", place.run)
    judge, draw = place.commands(told)
    place.works(*judge)
    place.works(*draw, place.run, "-o", place.run / "page.html")


@fault
def recipe_run_recipe__no_run(place: Place) -> None:
    """`star predict` with a folder that holds no run: a run of the command that is named does."""
    video = next((recipes.load(place.recipe).dataset.root / "videos").iterdir())
    told = place.fails("predict", video, "--run", place.run)
    place.follow(told)
    place.works("predict", video, "--run", place.run)


@fault
def recipe_schema__no_recipe(place: Place) -> None:
    """The command that makes a recipe, with a name and folder in the place of NAME and DIR."""
    other = place.recipe.with_name("new.yaml")
    root = recipes.load(place.recipe).dataset.root
    for content in (None, "just words"):
        if content is not None:
            other.write_text(content)
        told = place.fails("status", other)
        text = COMMAND.findall(told)[0].replace("NAME", "drawn").replace("DIR", str(root))
        words = shlex.split(text.partition(">")[0])
        made = place.works(*words, *(() if "--root" in words else ("drawn", "--root", root)))
        other.write_text(made)
        place.works("status", other)
        other.unlink()


@fault
def datasets_synthetic__not_drawn(place: Place) -> None:
    """`star demo DIR` draws one; only its drawing is tried here."""
    from star.pipeline.datasets.synthetic.dataset import draw

    root = place.recipe.parent / "demo" / "data"
    words = ("status", place.recipe, "--set", f"dataset.root={root}", "--set", f"cache.root={root}/cache")
    root.mkdir(parents=True)
    assert "`star demo DIR` draws one in DIR/data" in place.fails(*words)
    draw(root, clips_per_class=1, frames=(8, 9), size=(32, 32), workers=1)
    place.works(*words)


@fault
def commands_init_videos__a_known_data_set(place: Place) -> None:
    """A data set that star knows: the command with its name."""
    root = place.recipe.parent / "Penn"
    for folder in ("frames/0001", "labels"):
        (root / folder).mkdir(parents=True)
    (root / "labels" / "0001.mat").touch()
    told = place.fails("init", "videos", "--root", root)
    (words,) = (shlex.split(text) for text in COMMAND.findall(told))
    place.works(*words)


@fault
def evaluation_report__no_run(place: Place) -> None:
    """`star report RUN…` with a run in its place."""
    from star.errors import UsageError
    from star.pipeline.evaluation.report import report

    place.works("train", place.recipe, "--run", place.run)
    with pytest.raises(UsageError) as caught:
        report([], place.run / "page.html")
    (text,) = COMMAND.findall(str(caught.value))
    place.works(*shlex.split(text.replace("RUN…", shlex.quote(str(place.run)))), "-o", place.run / "page.html")


@fault
def checks_outliers__not_finite(place: Place) -> None:
    """A reason among `star inspect --worst` that names `star verify`, which says where."""
    stage_store = place.shelf("backbone")
    segment = stage_store.segment(stage_store.segments()[0])
    arrays = {name: segment.read(name) for name in segment.names}
    arrays["global_grid"][0] = np.nan
    inputs = {above: segment.inputs[:, number] for number, above in enumerate(segment.head.inputs)}
    rows, about = segment.rows, segment.head.attributes
    segment.path.unlink()
    stage_store.write(rows, arrays, about, {}, inputs=inputs)
    told = place.works("inspect", place.recipe, "--worst", 1, "-o", place.run.with_suffix(".png"), "--json")
    (words,) = place.commands(told)
    found = place.fails(*words)
    assert "global_grid of 1 clip is not finite" in found
    place.works(*words, "--repair")
    place.follow(found.splitlines()[-1])
    assert place.works("verify", place.recipe).startswith("all is well")


@fault
def checks_verify__other_sources(place: Place) -> None:
    """A video whose bytes changed: `star extract` makes its clips anew."""
    root = place.recipe.parent / "data"
    shutil.copytree(recipes.load(place.recipe).dataset.root, root)
    over = ("--set", f"dataset.root={root}")
    place.works("extract", place.recipe, *over)
    one, two = root / "videos" / "bow_000.mp4", root / "videos" / "bow_001.mp4"
    shutil.copyfile(one, two)
    shutil.copyfile(one.parents[1] / "joints" / "bow_000.npy", two.parents[1] / "joints" / "bow_001.npy")
    told = place.fails("verify", place.recipe, "--sources", *over)
    assert "its bytes are not those that" in told
    for words in place.commands(told):
        place.works(*words, *over, "--workers", 1)
    assert "all is well" in place.works("verify", place.recipe, "--sources", *over)


@pytest.mark.parametrize("name", FAULTS)
def test_what_a_message_recommends_works(place: Place, name: str) -> None:
    FAULTS[name](place)


ELSEWHERE = {
    "pipeline/commands/demo.py": "what `star demo` prints at its end; tests of the demo run the same code",
    "pipeline/extraction/cluster/driver.py": "`dask worker` and packages, tests/pipeline/extraction/cluster",
    "pipeline/extraction/audit.py": "extraction_audit__other_values",
    "pipeline/commands/export_joints.py": "tests of the export of joints; not followed here yet",
    "pipeline/commands/init_recipe.py": "commands_init_videos__a_known_data_set",
    "pipeline/commands/share.py": "tests/pipeline/commands/test_share.py pushes, pulls and predicts",
    "pipeline/evaluation/model_card.py": "a broken metrics.json, which `star test` writes anew",
    "pipeline/extraction/fault_isolation.py": "`star doctor`, of a machine that fails",
    "pipeline/commands/pretrain.py": "what comes next; tests/pipeline/training/test_pretrain.py trains from it",
    "pipeline/training/finetune.py": "tests/pipeline/training/test_finetune.py keeps frames, then fine-tunes",
    "pipeline/training/model_factory.py": "tests/pipeline/training/test_pretrain.py: a run that knows no classes",
    "pipeline/evaluation/export_run.py": "what kind of run it is, not what to type",
    "pipeline/evaluation/timeline.py": "what kind of run it is; weights of it are used in tests of fine-tuning",
}
NO_REMEDY = re.compile(
    r"would fail in `star extract`|here, `star extract` would find no videos|another `star train` is at work there"
)


def messages() -> Iterator[tuple[str, str]]:
    """(file, text) of every piece of a message in the source that has a command of star's in it."""
    root = Path(package.__file__).parent
    for path in sorted(file for part in ("cache", "stages", "pipeline") for file in (root / part).rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        docs = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
        for node in ast.walk(tree):
            text = node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""
            if "`star " in text and id(node) not in docs and not NO_REMEDY.search(text):
                yield str(path.relative_to(root)), text


def test_every_recommendation_has_a_test() -> None:
    """A module whose messages recommend a command has a fault above that is named for it."""
    named = {name.partition("__")[0] for name in FAULTS}
    lacking = []
    for file, text in messages():
        parts = file.removesuffix(".py").removeprefix("pipeline/").split("/")
        own = {"_".join(parts), "_".join(parts[:2])}
        if file not in ELSEWHERE and not own & named:
            lacking.append(f"{file}: {text!r}")
    assert lacking == []
