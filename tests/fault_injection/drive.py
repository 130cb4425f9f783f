"""Runs commands of star's in forked children, with faults of the preloaded library in them: drive.py FILE < cases.

FILE is what STAR_FAULTS names. Each line of stdin is a JSON case {"folder", "calls", "at", "action", "words"}: run
`star WORDS` and let the at-th of the calls below the folder fail (action: an errno, 0 for SIGKILL). One JSON line
each comes back: {"code": exit code, below 0 for a signal, "count": calls, "stderr"}. Everything is imported once.
"""

from __future__ import annotations

import json
import mmap
import os
import struct
import sys
import tempfile
from pathlib import Path
from typing import Any

LAYOUT = struct.Struct("<qqq104s4096s")


def imported() -> None:
    """All that the commands import, before anything is forked."""
    import torch

    import star.cli
    import star.pipeline.commands.extract
    import star.pipeline.commands.test
    import star.pipeline.commands.train
    import star.pipeline.evaluation.evaluator
    import star.pipeline.extraction.runner
    import star.stages.tokens  # noqa: F401

    torch.set_num_threads(1)


def run(words: list[str], errors: Path) -> int:
    """One command in a child; its exit code, or minus the signal that ended it."""
    child = os.fork()
    if not child:
        handle = os.open(errors, os.O_WRONLY | os.O_TRUNC)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        os.dup2(handle, 2)
        from star.cli import main

        code = 1
        try:
            main(words)
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 1
        except BaseException:
            import traceback

            traceback.print_exc()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def main() -> None:
    """Case by case."""
    with Path(sys.argv[1]).open("r+b") as file:
        shared = mmap.mmap(file.fileno(), LAYOUT.size)
    imported()
    handle, name = tempfile.mkstemp()
    os.close(handle)
    for line in sys.stdin:
        case: dict[str, Any] = json.loads(line)
        calls, folder = f",{','.join(case['calls'])},".encode(), case["folder"].encode()
        shared[: LAYOUT.size] = LAYOUT.pack(0, case["at"], case["action"], calls, folder)
        code = run(case["words"], Path(name))
        count, *_ = LAYOUT.unpack(shared[: LAYOUT.size])
        shared[: LAYOUT.size] = bytes(LAYOUT.size)
        answer = {"code": code, "count": count, "stderr": Path(name).read_text(errors="replace")}
        print(json.dumps(answer), flush=True)
    Path(name).unlink()


if __name__ == "__main__":
    main()
