"""Videos below a root, found by what a file made elsewhere calls them: an id, an address, another machine's path."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import unquote

from ....stages.readers.base import IMAGE_SUFFIXES
from .. import keypoint_files
from ..base import files_below, folders_below
from ..folder_names import VIDEO_SUFFIXES, ending, is_thumbnails

UPLOAD = re.compile(r"^[0-9a-f]{8}-")  # what Label Studio puts before the name of a file that was uploaded
SCHEME = re.compile(r"^[a-z][a-z0-9+.-]*://[^/]*/", re.IGNORECASE)
LOCAL = re.compile(r"[?&]d=([^&]*)")  # Label Studio's address of a file of the machine it runs on


class MediaNames:
    """The videos below a root. names: their paths relative to it, with "/"."""

    def __init__(self, names: Iterable[str]) -> None:
        self.found: dict[str, list[str]] = {}
        for name in sorted(set(names)):
            base = name.rpartition("/")[2].lower()
            for key in {base, base.removesuffix(ending(base))}:
                self.found.setdefault(key, []).append(name)

    def find(self, called: str) -> tuple[str, str]:
        """The path of the video that is called so and "", or "" and why there is none.

        Of several files of the name the one counts whose folders agree furthest from the end.
        """
        # the path within a path, an address or an address that names a path
        local = LOCAL.search(called)
        path = local[1] if local else SCHEME.sub("", called).partition("?")[0] if SCHEME.match(called) else called
        path = unquote(path).replace("\\", "/").strip("/")
        base = path.rpartition("/")[2].lower()
        stem = base.removesuffix(ending(base)) if ending(base) in VIDEO_SUFFIXES else base
        for key in dict.fromkeys((base, UPLOAD.sub("", base), stem, f"v_{stem}", UPLOAD.sub("", stem))):
            names = self.found.get(key, [])
            agree = [_common_end(name, path) for name in names]
            best = [name for name, count in zip(names, agree, strict=True) if count == max(agree)]
            if len(best) == 1:
                return best[0], ""
            if best:
                return "", f"{len(best)} videos have its name ({best[0]}, {best[1]}); rename them"
        return "", "no video of its name below dataset.root"


def videos_below(root: Path) -> MediaNames:
    """The video files and folders of frames below a root."""
    return MediaNames(video_names(root))


def video_names(root: Path) -> list[str]:
    """The paths of the video files and folders of frames below a root, in no order."""
    names: list[str] = []
    for folder, files in folders_below(root):
        hidden = "/." in f"/{folder}" or any(map(is_thumbnails, folder.split("/")))
        endings = {ending(name) for name in files if not name.startswith(".")}
        if not hidden:
            prefix = f"{folder}/" if folder else ""
            names += [prefix + name for name in files if ending(name) in VIDEO_SUFFIXES and not name.startswith(".")]
            if folder and not endings.isdisjoint(IMAGE_SUFFIXES):
                names.append(folder)
    return names


def joints_below(root: Path) -> MediaNames:
    """The files of joints below a root, and folders with a file per frame."""
    files = (name for name in files_below(root) if name.lower().endswith(keypoint_files.SUFFIXES))
    return MediaNames(keypoint_files.video_of(name) for name in files)


def _common_end(name: str, path: str) -> int:
    """How many folders of two paths agree, from the end on."""
    count = 0
    for own, other in zip(name.split("/")[-2::-1], path.split("/")[-2::-1], strict=False):
        if own.lower() != other.lower():
            break
        count += 1
    return count
