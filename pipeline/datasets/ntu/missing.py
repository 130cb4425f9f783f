"""The lists of samples with missing or incomplete skeletons, which every published count of NTU RGB+D leaves out.

They are not part of star: one is taken from beside the data, or fetched once from where the data set's authors publish
it. Either way its names must be the published ones, in any order and among any prose.
"""

from __future__ import annotations

import codecs
import hashlib
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from ....errors import DatasetError
from ....stages.weights import download
from ....untrusted_files import LARGE, UntrustedFile, read_bytes

NEARLY = re.compile(r"S\d{3}C\d{3}P\d{3}", re.IGNORECASE)
SAMPLE = re.compile(r"S\d{3}C\d{3}P\d{3}R\d{3}A\d{3}")
LISTED = re.compile(rf"(?:.*[/\\])?({SAMPLE.pattern})(?:_\w+)?(?:\.\w+)*[,;]?", re.IGNORECASE)
HOME = "https://raw.githubusercontent.com/shahroudy/NTURGB-D/master/Matlab"
OTHERWISE = ", or set dataset.missing: none"


class Published(NamedTuple):
    """A list as its authors publish it: the file's name, how many samples it names, `digest` of them."""

    file: str
    samples: int
    digest: str


PUBLISHED = {
    60: Published(
        "NTU_RGBD_samples_with_missing_skeletons.txt",
        302,
        "3ff503429ae912d947682d1e93a50e5e7f6dc0b0cac61dbc7d306801f36e6317",
    ),
    120: Published(
        "NTU_RGBD120_samples_with_missing_skeletons.txt",
        535,
        "58d30a6fdf262ab9fe1b51b74fb64f51a5b0107ab9eaa9fb3382d55c7b7d6884",
    ),
}


def missing_samples(setting: str | None, version: int, near: Iterable[Path]) -> frozenset[str]:
    """The samples to leave out.

    setting: `dataset.missing`: "official", "none" (or None), or the path of a list that is taken as it is. near: the
    files beside the data. Raises DatasetError for a list that cannot be read or is not the published one, DownloadError
    where it could not be fetched.
    """
    if setting in ("none", None):
        return frozenset()
    if setting != "official":
        return read_list(Path(setting))
    published, kept = PUBLISHED[version], place(version)
    path = next((path for path in near if path.name == published.file), kept)
    if not path.is_file():
        what = f"NTU RGB+D {version}'s list of samples with missing skeletons"
        download(f"{HOME}/{published.file}", kept, what, lambda file: _check(file, published), OTHERWISE)
    try:
        _check(path, published)
    except ValueError as error:
        raise DatasetError(
            f"dataset.missing: {path}: {error}; remove it, or set dataset.missing to a list to take it as it is"
        ) from None
    return read_list(path)


def read_list(path: Path) -> frozenset[str]:
    """The samples in a list: a line may name the file of one, and end in a comment; lines that name none are prose.

    Raises DatasetError, with the line where a sample is named that cannot be read.
    """
    try:
        samples = _samples(path)
    except OSError as error:
        raise DatasetError(f"dataset.missing: {path}: {error.strerror}; give the list of missing skeletons") from None
    except UntrustedFile as error:
        raise DatasetError(f"dataset.missing: {path}: {error}; give the list of missing skeletons") from None
    for number, line in enumerate(_lines(path), 1):
        if NEARLY.search(line.partition("#")[0]) and not _sample_of(line):
            raise DatasetError(
                f"dataset.missing: {path.name}, line {number}: {line.strip()[:60]!r} where one name like "
                "S001C002P005R002A008 was expected; correct it"
            )
    if not samples:
        raise DatasetError(f"dataset.missing: {path} names no sample; expected lines like S001C002P005R002A008")
    return samples


def place(version: int) -> Path:
    """Where a fetched list is kept: `star` in the user's folder of caches (XDG_CACHE_HOME moves it)."""
    caches = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(caches).expanduser() / "star" / PUBLISHED[version].file


def digest(samples: Iterable[str]) -> str:
    """The sha256 of a set of names, in order, one a line."""
    return hashlib.sha256("\n".join(sorted(samples)).encode()).hexdigest()


def _check(path: Path, published: Published) -> None:
    """Raises ValueError where the file's names are not the published ones."""
    samples = _samples(path)
    if digest(samples) != published.digest:
        other = "" if len(samples) == published.samples else f"it names {len(samples)}, "
        raise ValueError(f"{other}not the {published.samples} samples that were published")


def _samples(path: Path) -> frozenset[str]:
    return frozenset(sample for line in _lines(path) if (sample := _sample_of(line)))


def _lines(path: Path) -> list[str]:
    content = read_bytes(path, LARGE)
    encoding = "utf-16" if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf-8-sig"
    return content.decode(encoding, errors="replace").splitlines()


def _sample_of(line: str) -> str:
    """The sample that a line names, "" for prose."""
    found = LISTED.fullmatch(line.partition("#")[0].strip())
    return found[1].upper() if found else ""
