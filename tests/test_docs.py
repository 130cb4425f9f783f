"""What the pages say is what the code does."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

from star.cli import main
from star.pipeline.recipe.schema import Recipe

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md")])


def test_the_page_of_settings_is_current() -> None:
    """docs/recipe.md is made from the settings themselves."""
    made = subprocess.run([sys.executable, ROOT / "tools" / "settings.py"], capture_output=True, text=True, check=True)
    assert (ROOT / "docs" / "recipe.md").read_text() == made.stdout


def test_the_list_for_pip_has_every_dependency() -> None:
    """tools/requirements.py prints all of pyproject.toml but OpenMMLab's packages, which go in before."""
    made = subprocess.run(
        [sys.executable, ROOT / "tools" / "requirements.py"], capture_output=True, text=True, check=True
    )
    names = {re.split(r"[<>=;]", line)[0] for line in made.stdout.split("\n") if line}
    assert {"torch", "torchvision", "h5py", "decord", "dask", "click", "av", "pydantic"} <= names
    assert not {"mmpose", "mmengine", "mmcv-lite"} & names


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_and_link_on_a_page_exists(page: Path) -> None:
    """`star …` in a page names a real command with real options, and links lead somewhere."""
    text = page.read_text()
    for command, rest in re.findall(r"^\$ star (\w+)(.*)$", text, re.MULTILINE):
        assert command in main.commands, f"star {command}"
        known = {name for option in main.commands[command].params for name in option.opts}
        assert {word for word in rest.split() if re.match(r"--\w", word)} <= known
    for target in re.findall(r"\]\((?!http|#)([^)#]+)", text):
        assert (page.parent / target).exists(), target


@pytest.mark.parametrize("section", ["heatmaps", "tokens", "model"])
def test_the_page_on_the_method_names_every_setting(section: str) -> None:
    """Whoever adds an open point says there where it comes from."""
    text = (ROOT / "docs" / "method.md").read_text()
    fields = getattr(Recipe.model_fields[section].annotation, "model_fields")  # noqa: B009
    named = set(re.findall(r"[a-z_]+", " ".join(re.findall(r"`([^`]+)`", text))))
    assert set(fields) <= named


def prose(path: Path) -> str:
    """All of a module of the package; docstrings and comments of a test, whose strings may name files it writes."""
    text = path.read_text()
    if path.relative_to(ROOT).parts[0] != "tests":
        return text
    nodes = [node for node in ast.walk(ast.parse(text)) if isinstance(node, DOCUMENTED)]
    return "\n".join([*re.findall(r"#.*", text), *(ast.get_docstring(node) or "" for node in nodes)])


@pytest.mark.parametrize("folder", ["cache", "stages", "pipeline", "benchmarks", "tools", "tests", "."])
def test_every_document_and_section_named_in_the_source_exists(folder: str) -> None:
    """`docs/method.md, "Heat maps"` names a file (below the root, docs/ or cache/) and a heading in it."""
    for path in (ROOT / folder).glob("*.py") if folder == "." else (ROOT / folder).rglob("*.py"):
        for name, heading in re.findall(r'(?<![\w/.-])((?:docs/|cache/)?[\w.-]+\.md)(?:,?\s+"([^"]+)")?', prose(path)):
            page = next((page for room in (".", "docs", "cache") if (page := ROOT / room / name).is_file()), None)
            assert page, f"{path}: {name}"
            headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
            assert not heading or " ".join(heading.split()) in headings, f"{path}: {name} has no section {heading!r}"
