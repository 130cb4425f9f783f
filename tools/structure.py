#!/usr/bin/env python3
"""Print how the code is laid out: structure.py. `make check` calls it; exit status 1 where a limit is passed.

Per package: files and their median lines. Then class names that are defined twice, files over 400 lines, functions over
40 lines, and the share of private helpers that one function calls.
"""

from __future__ import annotations

import ast
import re
import sys
from collections import Counter, defaultdict
from pathlib import Path
from statistics import median

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("cache", "stages", "pipeline")
FILE_LINES, FUNCTION_LINES = 500, 40
LONGER = {"cli.py": 700}  # the options of all commands, which a newcomer looks for in one place


def main() -> int:
    """Print the figures."""
    packages: dict[str, list[int]] = defaultdict(list)
    classes: Counter[str] = Counter()
    long: list[str] = []
    helpers = single = 0
    for path in [*ROOT.glob("*.py"), *(path for name in PACKAGES for path in (ROOT / name).rglob("*.py"))]:
        text, place = path.read_text(encoding="utf-8"), str(path.relative_to(ROOT))
        lines = text.count("\n")
        packages[str(path.parent.relative_to(ROOT))].append(lines)
        long += [f"{place}: {lines} lines"] if lines > LONGER.get(place, FILE_LINES) else []
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                classes[node.name] += 1
            if isinstance(node, ast.FunctionDef):
                body = node.body[1:] if ast.get_docstring(node) and len(node.body) > 1 else node.body
                count = (body[-1].end_lineno or 0) - body[0].lineno + 1
                long += [f"{place}: {node.name}, {count} lines"] if count > FUNCTION_LINES else []
                if node.name.startswith("_") and not node.name.startswith("__"):
                    helpers += 1
                    single += len(re.findall(rf"\b{node.name}\b", text)) == 2
    for name, sizes in sorted(packages.items()):
        print(f"{name:32} {len(sizes):3} files, {median(sizes):4.0f} lines in the median")
    twice = [name for name, count in classes.items() if count > 1]
    print(f"class names defined twice: {', '.join(twice) or 'none'}")
    print(f"files over {FILE_LINES} lines, functions over {FUNCTION_LINES}: {'; '.join(long) or 'none'}")
    print(f"private helpers: {helpers}, with one caller {single / max(helpers, 1):.0%}")
    return 1 if twice or long else 0


if __name__ == "__main__":
    sys.exit(main())
