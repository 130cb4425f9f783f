"""A long video window by window, in Python, and the same with the answers drawn in.

python timeline.py RUN VIDEO OUT.mp4 [SETTING=VALUE ...]     for example pose.source=mmpose
"""

import subprocess
import sys

import star


def main(run: str, video: str, overlay: str, settings: list[str]) -> None:
    """Print what changes, then write the film with label, boxes and skeleton."""
    before = None
    laid_over = dict(setting.split("=", 1) for setting in settings)
    for window in star.load_run(run).timeline(video, window=1.0, every=0.5, **laid_over):
        if window["label"] != before:
            print(f"{window['start']:6.1f} s  {window['label']}  {window['probability']:.0%}")
            before = window["label"]
    options = [word for setting in settings for word in ("--set", setting)]
    command = ["predict", video, "--run", run, "--window", "1", "--every", "0.5", "--overlay", overlay, "-q", *options]
    subprocess.run([sys.executable, "-m", "star", *command], check=True)


if __name__ == "__main__":  # videos are decoded in processes of their own, which import this file again
    main(sys.argv[1], sys.argv[2], sys.argv[3], sys.argv[4:])
