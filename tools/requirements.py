#!/usr/bin/env python3
"""Print what star needs beside OpenMMLab's packages, for a plain pip: requirements.py > requirements.txt.

Those go in before, without their dependencies (see docs/install.md); what star's use of them imports is listed here.
"""

import pathlib
import re
import sys

OPENMMLAB = ("mmpose", "mmengine", "mmcv-lite")
THEY_NEED = ("addict", "json_tricks", "munkres", "packaging", "rich", "termcolor", "yapf")


def main() -> int:
    """Print one requirement a line; exit status 0."""
    text = (pathlib.Path(__file__).resolve().parent.parent / "pyproject.toml").read_text(encoding="utf-8")
    listed = text[text.index("dependencies = [") : text.index("[project.optional-dependencies]")]
    needs = re.findall(r'^\s+"([^"]+)",\s*(?:#.*)?$', listed, re.MULTILINE)
    sys.stdout.write("\n".join([*(name for name in needs if not name.startswith(OPENMMLAB)), *THEY_NEED]) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
