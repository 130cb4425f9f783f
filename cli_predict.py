"""`star predict`: its options, and which of the ways to predict they ask for."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from .pipeline.commands.options import DEVICE, FILE, RUN, SECONDS, answer, common


@click.command()
@click.argument("videos", nargs=-1, required=True)
@RUN
@click.option("--window", type=SECONDS, metavar="S", help="A time line: one answer for every window of S seconds.")
@click.option("--every", type=SECONDS, metavar="S", help="A window begins every S seconds; by default one by one.")
@click.option("-o", "--out", type=FILE, help="Write the time line as it is made: .csv, .json or .srt (subtitles).")
@click.option("--overlay", type=FILE, metavar="FILE.mp4", help="Write the video with label, boxes and skeleton.")
@click.option("--each-person", is_flag=True, help="Follow every person, and answer for each; needs a detector.")
@DEVICE
@common
def predict(
    videos: tuple[str, ...], run: Path, window: float | None, every: float | None, out: Path | None,
    overlay: Path | None, each_person: bool, device: str, overrides: tuple[str, ...], as_json: bool, quiet: bool,
) -> None:  # fmt: skip
    """Say what VIDEOS show: the five likeliest classes of each, by a run's network. Exit code 3 if one is unreadable.

    A live source in place of them (camera:0, rtsp://…, udp://…, or - for standard input) is answered until it ends or
    Ctrl-C (exit code 130), with its delay; pictures for which there is no time are dropped, and counted.

    Joints are found as the run's recipe says; where it was trained on annotated ones, any other video needs
    --set pose.source=mmpose, which gives joints of the same layout.

    \b
    Example: star predict clip.mp4 --run runs/first
    star predict long.mp4 --run runs/first --window 2 --every 0.5 -o long.csv
    star predict camera:0 --run runs/first
    """
    from .pipeline.commands.live import is_live, live_options, run_live
    from .pipeline.commands.predict import run_predict
    from .pipeline.commands.timeline import check_options, run_timeline

    if is_live(videos):
        options = live_options(window, every, overlay, each_person)
        sys.exit(
            run_live(
                videos[0], run, options, out=out, overrides=overrides, device=device, as_json=as_json, show=click.echo
            )
        )
    paths = [Path(video) for video in videos]
    options = check_options(window, every, out, overlay, each_person)
    if options is None:
        answer(run_predict(paths, run, overrides=overrides, device=device, quiet=quiet), as_json)
        return
    result = run_timeline(
        paths, run, options, out=out, overrides=overrides, device=device, quiet=quiet,
        show=None if as_json else click.echo, keep=as_json, overlay=overlay,
    )  # fmt: skip
    answer(result, as_json)
