"""The commands: parse, one call, print. Each is the shortest way from its options to one function."""

from __future__ import annotations

import sys
from io import TextIOWrapper
from pathlib import Path

import click

from .cli_predict import predict
from .cli_share import pull, push
from .errors import UsageError
from .pipeline.commands.options import (
    DEVICE,
    FILE,
    RECIPE,
    SECONDS,
    STAGES,
    STUDIES,
    ErrorHandlingGroup,
    answer,
    common,
    load_recipe,
    output,
)
from .version import __version__


def _replaced_by_preset(context: click.Context, parameter: click.Parameter, training: str | None) -> None:
    if training is not None:
        raise UsageError(f"init --training {training}: --preset paper, fast or joints has taken its place")


@click.group(cls=ErrorHandlingGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="star")
def main() -> None:
    """Human action recognition from cached features.

    \b
    star init penn-action --root Penn_Action > star.yaml    write a recipe
    star extract star.yaml                                  videos -> features, once
    star train star.yaml --run runs/first                   features -> a trained STAR-Transformer
    star test star.yaml --run runs/first                    its accuracy
    """
    from .pipeline.utils import process_settings

    process_settings.for_command()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # names of files that are not UTF-8 leave as the bytes that they are
            stream.reconfigure(errors="surrogateescape")


@main.command()
@click.argument("folder", type=FILE, default=Path("demo"), metavar="[DIR]")
@click.option(
    "--clips", type=click.IntRange(4, 100_000), default=40, show_default=True, help="Clips to draw per action."
)
@click.option(
    "--seed",
    type=click.IntRange(0, 2**63 - 1),
    default=0,
    show_default=True,
    help="Of the drawing and of the training.",
)
@output
def demo(folder: Path, clips: int, seed: int, as_json: bool, quiet: bool) -> None:
    """Draw a small data set, extract, train and test on it. Everything stays in DIR.

    Example: star demo demo
    """
    from .pipeline.commands.demo import run_demo

    answer(run_demo(folder, clips=clips, seed=seed, quiet=quiet), as_json)


@main.command()
@click.argument("name")
@click.option("--root", type=FILE, required=True, help="Where the data set lies.")
@click.option("--cache", type=FILE, default=Path("cache"), show_default=True, help="Where features go.")
@click.option(
    "--preset",
    type=click.Choice(("paper", "fast", "joints")),
    help="The paper's numbers; a quarter of its pixels and a short training (the default); or joints alone.",
)
@click.option("--training", hidden=True, help="Gone.", callback=_replaced_by_preset, expose_value=False)
@output
def init(name: str, root: Path, cache: Path, preset: str | None, as_json: bool, quiet: bool) -> None:
    """Print a recipe: penn-action, ntu60-xsub, ntu60-xview, ntu120-xsub, ntu120-xset, ucf101, hmdb51, kinetics,
    drawn; videos: your own, by looking at their folder; joints: without videos, a pickle or a folder of files.

    Example: star init penn-action --root /data/Penn_Action --preset paper > star.yaml
    """
    from .pipeline.commands.init import run_init

    answer(run_init(name, root.absolute(), cache.absolute(), preset, quiet=quiet), as_json)


@main.command()
@RECIPE
@click.option("-o", "--out", type=FILE, help="The CSV to write: video,label,split and groups.")
@click.option(
    "--folds", type=click.IntRange(2, 1000), metavar="K", help="K splits; -o FILE.csv: FILE-1.csv to FILE-K.csv."
)
@common
def split(
    recipe: Path, out: Path | None, folds: int | None, overrides: tuple[str, ...], as_json: bool, quiet: bool
) -> None:
    """Say per class what is for training and what for testing; with -o, write it as a CSV that star reads.

    Example: star split star.yaml --set dataset.split_by=subject -o split.csv
    """
    from .pipeline.commands.split import run_folds, run_split

    if folds:
        answer(run_folds(lambda over: load_recipe(recipe, (*overrides, *over)), folds, out), as_json)
    else:
        answer(run_split(load_recipe(recipe, overrides), out), as_json)


@main.command()
@RECIPE
@click.option("--stage", "stages", multiple=True, type=click.Choice(STAGES), help="Only this stage and what it takes.")
@click.option("--force", is_flag=True, help="Compute also what is cached; the old rows go when the new ones stand.")
@click.option("--retry-failed", is_flag=True, help="Try again the videos in the ledger.")
@click.option("--dry-run", is_flag=True, help="Say what would be done, do nothing.")
@click.option(
    "--audit", type=click.IntRange(1), default=None, metavar="N", help="Compute N cached clips again, compare."
)
@click.option("--max-failures", metavar="N|N%", help="Give up when more videos than this fail.")
@click.option("--device", default="auto", show_default=True, help="cpu, cuda, or several: cuda:0,cuda:1.")
@click.option("--workers", type=click.IntRange(0, 1024), default=0, help="Processes that decode; 0 for one per core.")
@click.option("--shard", metavar="I/N", help="Only the I-th of N equal shares of the videos, for job arrays.")
@click.option("--scheduler", metavar="ADDRESS", help="A Dask scheduler whose workers share the cache's folder.")
@click.option(
    "--lease",
    type=click.FloatRange(1, 1e6),
    default=600,
    show_default=True,
    metavar="S",
    help="A Dask worker that gives no sign of life for S seconds is given up.",
)
@common
def extract(
    recipe: Path, stages: tuple[str, ...], force: bool, retry_failed: bool, dry_run: bool, audit: int | None,
    max_failures: str | None,
    device: str, workers: int, shard: str | None, scheduler: str | None, lease: float, overrides: tuple[str, ...],
    as_json: bool, quiet: bool,
) -> None:  # fmt: skip
    """Videos -> cached features: whatever the recipe wants and the cache lacks.

    Example: star extract star.yaml --stage heatmaps --set heatmaps.sigma=1.5
    """
    from .pipeline.commands.extract import run_audit, run_dry_run, run_extract
    from .pipeline.extraction.execution import ExecutionConfig

    asked, execution = load_recipe(recipe, overrides), ExecutionConfig(device, workers, scheduler, lease)
    if audit:
        answer(run_audit(asked, audit, execution=execution, quiet=quiet), as_json)
    elif dry_run:
        answer(run_dry_run(asked, only=stages, force=force, retry_failed=retry_failed, shard=shard), as_json)
    else:
        result = run_extract(
            asked, only=stages, force=force, retry_failed=retry_failed, shard=shard, max_failures=max_failures,
            execution=execution, quiet=quiet,
        )  # fmt: skip
        answer(result, as_json)


@main.command()
@RECIPE
@click.option("--workers", type=click.IntRange(0, 1024), default=0, help="Processes that read; 0 for one per core.")
@common
def scan(recipe: Path, workers: int, overrides: tuple[str, ...], as_json: bool, quiet: bool) -> None:
    """Look for what is wrong with the videos and their annotations, before extracting. Decodes nothing.

    Exit code 3 if videos would fail in extract; other problems are only said.

    Example: star scan star.yaml
    """
    from .pipeline.commands.scan import run_scan

    answer(run_scan(load_recipe(recipe, overrides), workers=workers, quiet=quiet), as_json)


@main.command()
@RECIPE
@common
def status(recipe: Path, overrides: tuple[str, ...], as_json: bool, quiet: bool) -> None:
    """Say per stage what is cached, missing, stale or failed, and why.

    Example: star status star.yaml --set heatmaps.sigma=1.5
    """
    from .pipeline.commands.status import run_status

    answer(run_status(load_recipe(recipe, overrides)), as_json)


@main.command()
@RECIPE
@click.option("--repair", is_flag=True, help="Move bad segments aside; the next extraction makes their clips again.")
@click.option("--sources", is_flag=True, help="Also read all bytes of the videos and joints: which have changed?")
@common
def verify(recipe: Path, repair: bool, sources: bool, overrides: tuple[str, ...], as_json: bool, quiet: bool) -> None:
    """Read every byte of the cache again: digests, checksums, shapes, NaN, alignment.

    Exit code 4 if something is wrong.

    Example: star verify star.yaml --repair
    """
    from .pipeline.commands.verify import run_verify

    answer(run_verify(load_recipe(recipe, overrides), repair=repair, sources=sources, quiet=quiet), as_json)


@main.command()
@RECIPE
@click.option("--run", "run", type=FILE, required=True, help="Folder for the trained network.")
@click.option("--resume", is_flag=True, help="Go on where the run in this folder stopped.")
@click.option("--init", type=FILE, metavar="RUN", help="Begin with the weights of another run, also of other classes.")
@click.option("--freeze", is_flag=True, help="With --init: train the head alone, all else stays as it is.")
@DEVICE
@common
def train(
    recipe: Path, run: Path, resume: bool, init: Path | None, freeze: bool, device: str, overrides: tuple[str, ...],
    as_json: bool, quiet: bool,
) -> None:  # fmt: skip
    """Train the STAR-Transformer on cached features.

    \b
    Example: star train star.yaml --run runs/first --set train.seed=1
    star train mine.yaml --run runs/mine --init runs/first --freeze
    """
    from .pipeline.commands.train import run_train

    asked = load_recipe(recipe, overrides)
    answer(run_train(asked, run, device=device, resume=resume, quiet=quiet, init=init, freeze=freeze), as_json)


@main.command()
@RECIPE
@click.option("--run", "run", type=FILE, required=True, help="Folder for the trained network.")
@click.option("--resume", is_flag=True, help="Go on where the run in this folder stopped.")
@DEVICE
@common
def pretrain(
    recipe: Path, run: Path, resume: bool, device: str, overrides: tuple[str, ...], as_json: bool, quiet: bool
) -> None:
    """Teach the STAR-Transformer to find hidden tokens of cached clips, without their labels.

    \b
    Example: star pretrain star.yaml --run runs/pretrained
    star train star.yaml --init runs/pretrained --run runs/few --set train.fraction=0.1
    """
    from .pipeline.commands.pretrain import run_pretrain

    answer(run_pretrain(load_recipe(recipe, overrides), run, device=device, resume=resume, quiet=quiet), as_json)


@main.command()
@RECIPE
@click.option("--run", "run", type=FILE, required=True, help="Folder for the trained network.")
@click.option("--resume", is_flag=True, help="Go on where the run in this folder stopped.")
@click.option("--init", type=FILE, metavar="RUN", help="Begin with the transformer of a run of `star train`.")
@click.option("--freeze", metavar="LAYERS", help="Layers of the backbone that stay as they are: stem,layer1.")
@DEVICE
@common
def finetune(
    recipe: Path, run: Path, resume: bool, init: Path | None, freeze: str | None, device: str,
    overrides: tuple[str, ...], as_json: bool, quiet: bool,
) -> None:  # fmt: skip
    """Train the backbone together with the STAR-Transformer, on kept frames (decode.keep: frames).

    Leaves backbone.safetensors in the run's folder, which `backbone.weights` takes; `star test` and `star predict` take
    the run as any other.

    \b
    Example: star finetune star.yaml --set decode.keep=frames --run runs/tuned --freeze stem,layer1
    after: star extract star.yaml --set decode.keep=frames
    """
    from .pipeline.commands.finetune import run_finetune

    asked = load_recipe(recipe, overrides)
    answer(run_finetune(asked, run, device=device, resume=resume, quiet=quiet, init=init, freeze=freeze), as_json)


@main.command()
@RECIPE
@click.option(
    "--run", "runs", type=FILE, required=True, multiple=True, help="Folder of the trained network; several are fused."
)
@click.option("--embeddings", is_flag=True, help="Also write what the head sees of each clip, and a picture of it.")
@click.option("-o", "--out", type=FILE, help="Of several runs: the folder of what they say together.")
@click.option("--timeline", is_flag=True, help="Slide windows over the test films of a data set with labelled spans.")
@click.option(
    "--window", type=SECONDS, metavar="S", help="Of --timeline; by default the training spans' median length."
)
@click.option("--every", type=SECONDS, metavar="S", help="Of --timeline; by default a quarter of the window.")
@DEVICE
@common
def test(
    recipe: Path, runs: tuple[Path, ...], embeddings: bool, out: Path | None, timeline: bool, window: float | None,
    every: float | None, device: str, overrides: tuple[str, ...], as_json: bool, quiet: bool,
) -> None:  # fmt: skip
    """Accuracy of a run on the test videos: overall, per class, confusion matrix, calibration.

    Several runs are judged each by its own recipe, on the data and cache of RECIPE, and then together: the mean of
    their probabilities. With --timeline: mean average precision of the segments that are found in whole films.

    \b
    Example: star test star.yaml --run runs/first --json
    star test star.yaml --run runs/rgb --run runs/joints
    star test spans.yaml --run runs/first --timeline
    """
    from .pipeline.commands.test import run_fusion, run_test, run_timeline_test

    asked = load_recipe(recipe, overrides)
    if timeline:
        if len(runs) != 1 or embeddings or out:
            raise UsageError("test --timeline: of one run, without --embeddings and --out; its result is in RUN/test")
        answer(run_timeline_test(asked, runs[0], window, every, device=device, quiet=quiet), as_json)
        return
    if window or every:
        raise UsageError("test --window, --every: are of --timeline; add it, or leave them out")
    if len(runs) == 1:
        if out:
            raise UsageError("test --out: of one run the result is in RUN/test; leave it out, or name several runs")
        answer(run_test(asked, runs[0], device=device, quiet=quiet, embeddings=embeddings), as_json)
        return
    if embeddings:
        raise UsageError("test --embeddings: of one run at a time; leave it out, or name one run")
    answer(run_fusion(asked, runs, out, device=device, quiet=quiet), as_json)


main.add_command(predict)
main.add_command(push)
main.add_command(pull)


@main.command()
@RECIPE
@click.option("--study", type=click.Choice(STUDIES), help="Which table.")
@click.option(
    "--vary", multiple=True, metavar="A.B=C,D", help="A table of your own: all combinations of these settings' values."
)
@click.option("--runs", "runs", type=FILE, required=True, help="Folder of its runs and tables.")
@click.option("--seeds", type=click.IntRange(1, 10_000), default=3, show_default=True, help="Runs of every variant.")
@click.option("--classes", default="", metavar="A,B", help="Classes whose accuracy together gets a column of its own.")
@click.option("--init", type=FILE, metavar="RUN", help="Every run begins with the weights of this one.")
@DEVICE
@common
def ablate(
    recipe: Path, study: str | None, vary: tuple[str, ...], runs: Path, seeds: int, classes: str,
    init: Path | None, device: str, overrides: tuple[str, ...], as_json: bool, quiet: bool,
) -> None:  # fmt: skip
    """Train and test every variant of a STUDY, or of your own settings, and print the table; what is finished already
    is not done again.

    \b
    Example: star ablate star.yaml --study tokens --runs ablations --seeds 3
    star ablate star.yaml --vary model.width=64,128 --vary train.learning_rate=1e-3,3e-4 --runs ablations
    star ablate star.yaml --study data --init runs/pretrained --runs ablations/pretrained
    """
    from .pipeline.commands.ablate import run_ablate

    result = run_ablate(
        recipe, study, runs, vary=vary, overrides=overrides, seeds=seeds,
        classes=[name for name in classes.split(",") if name], init=init, device=device, quiet=quiet,
    )  # fmt: skip
    answer(result, as_json)


@main.command()
@RECIPE
@common
def model(recipe: Path, overrides: tuple[str, ...], as_json: bool, quiet: bool) -> None:
    """Parameters and floating-point operations of a recipe's network, module by module.

    Example: star model star.yaml --set model.width=256
    """
    from .pipeline.commands.model import run_model

    answer(run_model(load_recipe(recipe, overrides)), as_json)


@main.command()
@click.argument("recipe", type=FILE, required=False)
@click.option("--run", type=FILE, help="Folder of the trained network.")
@click.option("-o", "--out", type=FILE, help="The file to write it to.")
@click.option("--format", "kind", type=click.Choice(["onnx"]), default="onnx", show_default=True, help="Of the file.")
@click.option(
    "--from", "beginning", type=click.Choice(["tokens", "features", "joints"]), default="tokens", show_default=True,
    help="What the file takes: cached tokens; or features or joints, and it makes the tokens itself.",
)  # fmt: skip
@click.option(
    "--joints", type=FILE, metavar="FILE.pkl", help="In place of a network: write the joints of RECIPE's data."
)
@common
def export(
    recipe: Path | None, run: Path | None, out: Path | None, kind: str, beginning: str, joints: Path | None,
    overrides: tuple[str, ...], as_json: bool, quiet: bool,
) -> None:  # fmt: skip
    """Write a trained network for other runtimes, its inputs named like the cached arrays; or, with --joints, the
    annotated or estimated joints of RECIPE's data set as a pickle that pyskl, mmaction2 and star read.

    Class names and what is done to a network's inputs stand in its file's metadata.

    \b
    Example: star export --run runs/first -o star.onnx
    star export --run runs/joints --from joints -o joints.onnx
    star export --joints joints.pkl star.yaml
    """
    if joints and recipe and not (run or out):
        from .pipeline.commands.export_joints import run_export_joints

        answer(run_export_joints(load_recipe(recipe, overrides), joints, quiet=quiet), as_json)
    elif run and out and not (joints or recipe or overrides):
        from .pipeline.commands.export import run_export

        answer(run_export(run, out, kind, beginning), as_json)
    else:
        raise UsageError("export: either --run RUN -o FILE, for a network, or --joints FILE.pkl RECIPE, for joints")


@main.command()
@click.argument("runs", nargs=-1, required=True, type=FILE)
@click.option("-o", "--out", type=FILE, default=Path("report.html"), show_default=True, help="The page to write.")
@output
def report(runs: tuple[Path, ...], out: Path, as_json: bool, quiet: bool) -> None:
    """One HTML page on one or several runs, side by side.

    Example: star report runs/first runs/second -o report.html
    """
    from .pipeline.commands.report import run_report

    answer(run_report(runs, out), as_json)


@main.command()
@RECIPE
@click.argument("video", required=False)
@click.option("--worst", type=click.IntRange(1, 200), metavar="N", help="N clips that most deserve a look, and why.")
@click.option("-o", "--out", type=FILE, required=True, help="The picture to write, PNG.")
@common
def inspect(
    recipe: Path, video: str | None, worst: int | None, out: Path, overrides: tuple[str, ...], as_json: bool,
    quiet: bool,
) -> None:  # fmt: skip
    """Draw what the cache holds of one video: frames with joints, boxes and crop, heat maps, feature energy.

    Example: star inspect star.yaml frames/0001 -o 0001.png
    """
    from .pipeline.commands.inspect import run_inspect

    answer(run_inspect(load_recipe(recipe, overrides), video, out, worst=worst, quiet=quiet), as_json)


@main.group()
def cache() -> None:
    """What a cache holds, and how it gets elsewhere: ls, gc, diff, export, copy, merge."""


@cache.command("ls")
@click.argument("root", type=FILE)
@output
def cache_ls(root: Path, as_json: bool, quiet: bool) -> None:
    """List the stages and keys of the cache at ROOT with their rows, bytes and settings.

    Example: star cache ls cache
    """
    from .pipeline.commands.cache import run_ls

    answer(run_ls(root), as_json)


@cache.command("gc")
@click.argument("recipes", nargs=-1, required=True, type=FILE)
@click.option("--yes", is_flag=True, help="Delete them; without it, only say which.")
@output
def cache_gc(recipes: tuple[Path, ...], yes: bool, as_json: bool, quiet: bool) -> None:
    """Find (with --yes: delete) what none of the RECIPES uses.

    Example: star cache gc star.yaml ablation.yaml
    """
    from .pipeline.commands.cache import run_gc

    answer(run_gc([load_recipe(path) for path in recipes], remove=yes), as_json)


@cache.command("diff")
@click.argument("first", type=FILE)
@click.argument("second", type=FILE)
@output
def cache_diff(first: Path, second: Path, as_json: bool, quiet: bool) -> None:
    """Say in which settings two recipes, or two folders CACHE/STAGE/KEY, differ.

    Example: star cache diff star.yaml ablation.yaml
    """
    from .pipeline.commands.cache import run_diff

    answer(run_diff(first, second), as_json)


@cache.command("export")
@RECIPE
@click.option(
    "--format", "kind", type=click.Choice(["npy", "webdataset"]), default="npy", show_default=True, help="Of the files."
)
@click.option("--array", "arrays", multiple=True, help="Only this array; by default what the recipe's network takes.")
@click.option("-o", "--out", type=FILE, required=True, help="The folder to write, new or empty.")
@common
def cache_export(
    recipe: Path, kind: str, arrays: tuple[str, ...], out: Path, overrides: tuple[str, ...], as_json: bool, quiet: bool
) -> None:
    """Write the cached features of a recipe as plain files, with a manifest: video, view, label, split, frame times.

    Example: star cache export star.yaml --format webdataset -o features
    """
    from .pipeline.commands.cache_export import run_export

    answer(run_export(load_recipe(recipe, overrides), out, kind, arrays, quiet=quiet), as_json)


@cache.command("copy")
@RECIPE
@click.argument("source", type=FILE, metavar="FROM")
@click.argument("into", type=FILE, metavar="TO")
@common
def cache_copy(recipe: Path, source: Path, into: Path, overrides: tuple[str, ...], as_json: bool, quiet: bool) -> None:
    """Copy what RECIPE uses of the cache FROM to the cache TO. Exit code 4 if TO holds other values of a clip.

    Example: star cache copy star.yaml cache /mnt/disk/cache
    """
    from .pipeline.commands.cache_merge import run_copy

    answer(run_copy(load_recipe(recipe, overrides), source, into, quiet=quiet), as_json)


@cache.command("merge")
@click.argument("into", type=FILE)
@click.argument("sources", nargs=-1, required=True, type=FILE, metavar="FROM...")
@output
def cache_merge(into: Path, sources: tuple[Path, ...], as_json: bool, quiet: bool) -> None:
    """Copy all that the caches FROM hold into the cache INTO. Exit code 4, and nothing copied, if clips differ.

    Example: star cache merge cache /mnt/first/cache /mnt/second/cache
    """
    from .pipeline.commands.cache_merge import run_merge

    answer(run_merge(into, sources, quiet=quiet), as_json)


@main.command()
@output
def doctor(as_json: bool, quiet: bool) -> None:
    """Say what is installed, what is missing, and what to do about it.

    Example: star doctor
    """
    from .pipeline.commands.doctor import run_doctor

    answer(run_doctor(), as_json)


if __name__ == "__main__":
    main()
