"""Which videos failed: failures.jsonl, one line for each video and stage (FORMAT.md "The ledger").

It is read, merged and replaced as a whole, without a lock. When two runs write at the same moment, the later one wins;
all that is lost is that a video is tried once more.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from ..untrusted_files import UntrustedFile, json_text, number, parse_json, record, text, whole
from . import atomic

_MAX_BYTES = 1 << 30


@dataclass(frozen=True, slots=True)
class Failure:
    """One failed video.

    video: its id. stage: where it failed. kind: the class of the error ("unreadable", "timeout", ...).
    message: one line. attempts: how often it was tried. source: the digest of the bytes that failed, empty if they
    could not be read. time: of the last attempt, in seconds since 1970.
    """

    video: str
    stage: str
    kind: str
    message: str
    attempts: int = 1
    source: str = ""
    time: float = 0.0


class Ledger:
    """The ledger in a file, which need not exist yet."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)

    def load(self) -> list[Failure]:
        """All failures, by video and stage. Lines that cannot be read are skipped."""
        try:
            content = atomic.read_whole(self.path, _MAX_BYTES)
        except (FileNotFoundError, NotADirectoryError):
            return []
        except OSError as error:
            raise atomic.read_error(error, self.path) from None
        found: dict[tuple[str, str], Failure] = {}
        for line in content.splitlines():
            with suppress(UntrustedFile):  # cut short, or none of ours
                fields = parse_json(line)
                _LINE(fields, "")
                failure = Failure(**{name: fields[name] for name in _FIELDS})
                found[failure.video, failure.stage] = failure
        return _sorted(found.values())

    def record(self, failures: Iterable[Failure]) -> list[Failure]:
        """Add failures; one that is there already counts one attempt more. Returns all. Raises StorageError."""
        known = {(failure.video, failure.stage): failure for failure in self.load()}
        for failure in failures:
            name = (failure.video, failure.stage)
            before = known[name].attempts if name in known else 0
            known[name] = replace(failure, attempts=before + failure.attempts)
        return self._save(known.values())

    def clear(self, videos: Collection[str]) -> list[Failure]:
        """Forget what happened to these videos, since they went well or are tried anew. Returns the rest."""
        kept = [failure for failure in self.load() if failure.video not in set(videos)]
        return self._save(kept)

    def _save(self, failures: Iterable[Failure]) -> list[Failure]:
        rows = _sorted(failures)
        lines = "".join(json_text(asdict(row)) + "\n" for row in rows)
        with atomic.reporting(self.path.parent):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            atomic.replace(self.path, lines.encode())
        return rows


def _sorted(failures: Iterable[Failure]) -> list[Failure]:
    return sorted(failures, key=lambda failure: (failure.video, failure.stage))


_FIELDS = {
    "video": text(),
    "stage": text(),
    "kind": text(),
    "message": text(1 << 16),
    "attempts": whole(),
    "source": text(),
    "time": number,
}
_LINE = record(_FIELDS)
