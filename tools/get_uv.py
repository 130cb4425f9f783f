#!/usr/bin/env python3
"""Put uv into a folder of the project, for a machine that has only Python: get_uv.py FOLDER.

Tries, in order: a virtual environment with its own pip, and the pip of this Python. Nothing outside FOLDER changes.
The one file that an old Python may meet, so it says what is wrong with it.
"""

import pathlib
import subprocess
import sys

NEEDS = "uv>=0.5"


def main() -> int:
    """Exit status 0 with FOLDER/bin/uv in place, else 1 with one line that says what to install."""
    folder = pathlib.Path(sys.argv[1])
    if sys.version_info < (3, 10):  # noqa: UP036
        found = ".".join(map(str, sys.version_info[:3]))
        print(
            f"star needs Python 3.10 to 3.13, {sys.executable} is {found}; try make PYTHON=python3.12", file=sys.stderr
        )
        return 1
    ways = (
        (
            [sys.executable, "-m", "venv", str(folder)],
            [str(folder / "bin" / "python"), "-m", "pip", "install", "-q", NEEDS],
        ),
        ([sys.executable, "-m", "pip", "install", "-q", "--target", str(folder), NEEDS],),
    )
    for way in ways:
        if (
            all(subprocess.run(command, check=False).returncode == 0 for command in way)
            and (folder / "bin/uv").exists()
        ):
            return 0
    print(
        "could not install uv: install Python's venv module (Debian, Ubuntu: apt install python3-venv), or uv itself",
        file=sys.stderr,
    )
    return 1


if __name__ == "__main__":
    sys.exit(main())
