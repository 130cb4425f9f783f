"""`star push`, `star pull`: a run to others and back, by a folder or by a repository of the Hugging Face hub."""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...cache.atomic import reporting
from ...errors import DownloadError, MissingPackage, UsageError
from ..evaluation.model_card import FILES, shared_files
from ..recipe import schema as recipes
from ..training import checkpoint
from ..utils.atomic import replace_bytes
from ..utils.text import amount, counted

REPOSITORY = re.compile(r"(?:hf:)?([\w.-]+/[\w.-]+)")
WEIGHTS = ("best/weights.safetensors", "last/weights.safetensors")


@dataclass(frozen=True)
class PushedRun:
    """What was shared: where, which files, how many bytes, under which licence."""

    run: Path
    where: str
    files: Sequence[str]
    size: int
    license_name: str
    exit_code: int = 0

    def to_document(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "run": str(self.run), "to": self.where, "files": list(self.files), "bytes": self.size,
            "license": self.license_name,
        }  # fmt: skip

    def to_lines(self) -> list[str]:
        """One line."""
        return [f"{self.where}: {counted(len(self.files), 'file')}, {amount(self.size)}; README.md is the model card"]


@dataclass(frozen=True)
class PulledRun:
    """What was fetched, from where, as which run."""

    source: str
    run: Path
    files: Sequence[str]
    exit_code: int = 0

    def to_document(self) -> dict[str, Any]:
        """As JSON."""
        return {"from": self.source, "run": str(self.run), "files": list(self.files)}

    def to_lines(self) -> list[str]:
        """One line."""
        files = counted(len(self.files), "file")
        return [f"{self.run}: {files} from {self.source}; `star predict VIDEO --run {self.run}`"]


def repository(target: str) -> str | None:
    """OWNER/NAME where a target names a repository of the hub, None for a folder: one that is there, or a path that
    begins with `.`, `~` or `/`. `hf:OWNER/NAME` is a repository whatever is there."""
    found = REPOSITORY.fullmatch(target)
    if found is None or target[0] in ".~/" or (not target.startswith("hf:") and Path(target).is_dir()):
        return None
    return found[1]


def run_push(run: Path, target: str, license_name: str, *, private: bool = False) -> PushedRun:
    """`star push`: weights, recipe, figures and a model card of a run, to a folder or a repository.

    Raises UsageError for a folder that is no run or holds something else, DownloadError where the hub refuses.
    """
    repo = repository(target)
    title = repo or run.resolve().name
    files = shared_files(run, license_name, title)
    if repo is None:
        folder = Path(target).expanduser()
        if folder.exists() and not folder.is_dir():
            raise UsageError(f"{folder}: is a file; name a folder")
        if folder.is_dir() and any(folder.iterdir()) and not (folder / "recipe.yaml").is_file():
            raise UsageError(f"{folder}: holds something else; name a new folder, or one that star pushed to")
        if (folder / "lock").exists():
            raise UsageError(f"{folder}: is a run that star trained; name another folder")
        for name, content in files.items():
            replace_bytes(folder / name, content)
        where = str(folder)
    else:
        with tempfile.TemporaryDirectory() as temporary:
            for name, content in files.items():
                replace_bytes(Path(temporary) / name, content)
            api = _hub().HfApi()

            def send() -> str:
                api.create_repo(repo, private=private, exist_ok=True)
                api.upload_folder(repo_id=repo, folder_path=temporary, commit_message="star push")
                return f"{api.endpoint}/{repo}"

            where = _asked_of_hub(repo, send)
    return PushedRun(run, where, sorted(files), sum(map(len, files.values())), license_name)


def run_pull(source: str, run: Path) -> PulledRun:
    """`star pull`: what was pushed, as the folder of a run; nothing of it is run, and only known files are taken.

    Raises UsageError where RUN holds something already or SOURCE holds no run, DownloadError where the hub refuses.
    """
    if run.exists() and (not run.is_dir() or any(run.iterdir())):
        raise UsageError(f"{run}: is there already; name a new folder")
    repo = repository(source)
    with tempfile.TemporaryDirectory() as temporary:
        if repo is None:
            folder = Path(source).expanduser()
        else:
            folder, hub, names = Path(temporary), _hub(), [*FILES, *WEIGHTS]
            _asked_of_hub(repo, lambda: hub.snapshot_download(repo, local_dir=temporary, allow_patterns=names))
        if not (folder / "recipe.yaml").is_file():
            raise UsageError(f"{source}: holds no run (no recipe.yaml); give what `star push` made")
        recipe = recipes.load(folder / "recipe.yaml")  # and its weights belong to it
        checkpoint.read_note(folder / recipe.test.checkpoint / "weights.safetensors", checkpoint.NETWORK)
        taken = [name for name in (*FILES, *WEIGHTS) if (folder / name).is_file()]
        with reporting(run):
            for name in taken:
                (run / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(folder / name, run / name)
    return PulledRun(source, run, taken)


def _hub() -> Any:
    try:
        import huggingface_hub
    except ImportError:
        raise MissingPackage(
            "a repository of the hub needs the package huggingface_hub; pip install 'star[hub]', or name a folder"
        ) from None
    return huggingface_hub


def _asked_of_hub(repo: str, ask: Callable[[], Any]) -> Any:
    """What the hub answers; whatever it or the network refuses is one line."""
    try:
        return ask()
    except Exception as error:
        said = " ".join(str(error).split())[:200]
        raise DownloadError(
            f"{repo}: the hub refused ({type(error).__name__}: {said}); check the name and `hf auth login`"
        ) from None
