"""Lists of videos: a CSV, mmaction2's, or an annotation tool's export; which of them a file is, its content tells."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from ....errors import AnnotationError, DatasetError
from ..keypoint_files.json_file import load_json
from . import activitynet, cvat, label_studio, mmaction2_list
from .csv_list import read_csv, the_list
from .listing import Listing
from .media_names import MediaNames
from .segments import LabelledSpan, listing_of

EXPORTS = (".json", ".xml", ".txt")


def read_list(
    root: Path,
    chosen: Path | None,
    names: Callable[[Path], MediaNames],
    classes: Sequence[str] | None = None,
    *,
    labelled: bool = True,
) -> Listing | None:
    """What `dataset.list` names, or the only CSV in ROOT; None where there is none.

    names: root -> the videos below it, asked for where a list made elsewhere names them. classes, labelled: see
    `read_csv`. Raises DatasetError with the row that is wrong, or where the file is of no format that is known here.
    """
    listed = the_list(root, chosen)
    if listed is None:
        return None
    if listed.is_file() and _is_csv(listed):
        return Listing(read_csv(listed, root, classes, labelled=labelled), what=f"the list {listed.name}")
    format_, segments = _exported(listed)
    listing = listing_of(segments, names(root))
    listing.what = f"{format_}, {listed.name}"
    if not listing.entries:
        name, reason = listing.left_out[0] if listing.left_out else (listed.name, "no labelled span")
        raise DatasetError(f"dataset.list: {listed}: nothing in it can be used ({name}: {reason})")
    return listing


def _is_csv(path: Path) -> bool:
    """Whether a list is read as a CSV: whatever its ending says is nothing else."""
    suffix = path.suffix.lower()
    return suffix not in EXPORTS or (suffix == ".txt" and not mmaction2_list.holds(path))


def exports_in(folder: Path, most: int | None = None) -> list[tuple[Path, str]]:
    """The exports and lists in a folder, by name, each with its format; where it has none, those in its
    folders, as archives of several tasks unpack. Other files are passed over.

    most: files of a folder that are opened to see what they are; None for all.
    """
    inside = _visible(folder)
    found = _exports_among(inside, most)
    if found:
        return found
    return _exports_among([path for one in inside[:most] if one.is_dir() for path in _visible(one)[:most]], most)


def _visible(folder: Path) -> list[Path]:
    """What lies in a folder, by name; nothing where it may not be listed."""
    try:
        return sorted(path for path in folder.iterdir() if path.name[0] != ".")
    except OSError:
        return []


def _exports_among(files: Iterable[Path], most: int | None) -> list[tuple[Path, str]]:
    found = []
    for path in [path for path in files if path.suffix.lower() in EXPORTS][:most]:
        try:
            format_ = _format(path)[0]
        except (AnnotationError, DatasetError):
            continue
        if format_:
            found.append((path, format_))
    return found


def _exported(path: Path) -> tuple[str, Iterable[LabelledSpan]]:
    """Format and segments of an export, or of all exports in a folder. Raises DatasetError."""
    if path.is_dir():
        parts = exports_in(path)
        if not parts:
            raise DatasetError(f"dataset.list: no export in the folder {path}; give a file, or the folder of exports")
        formats = " and ".join(dict.fromkeys(name for _, name in parts))
        return formats, [segment for part, _ in parts for segment in _exported(part)[1]]
    try:
        format_, read = _format(path)
    except AnnotationError as error:
        raise DatasetError(str(error)) from None
    if not format_:
        raise DatasetError(
            f"dataset.list: {path} is none of ActivityNet JSON, CVAT XML and Label Studio JSON; docs/ways-in.md shows "
            "what they look like"
        )
    return format_, read()


def _format(path: Path) -> tuple[str, Callable[[], Iterable[LabelledSpan]]]:
    """The format of an export and what reads it, "" for another file. Raises AnnotationError for broken JSON."""
    if path.suffix.lower() == ".xml":
        return (cvat.NAME if cvat.holds(path) else ""), lambda: cvat.segments(path)
    if path.suffix.lower() == ".txt":
        return (mmaction2_list.NAME if mmaction2_list.holds(path) else ""), lambda: mmaction2_list.segments(path)
    document: Any = load_json(path)
    for module in (activitynet, label_studio):
        if module.holds(document):
            return module.NAME, lambda: module.segments(document, path)  # noqa: B023 (the loop ends here)
    return "", lambda: ()
