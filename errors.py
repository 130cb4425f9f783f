"""Every error that a user can cause, as one tree.

StarError                   exit code 1: a bug, unless a branch below says better
├── UsageError              2: the command line asks for what cannot be done
│   ├── RecipeError         2: a value in the recipe
│   ├── DatasetError        2: a root, list, label or split of the data set
│   │   └── MissingData            its files are not there: not mounted, or deleted after extraction
│   └── WeightsError        2: a weights file that is refused or belongs to another network
├── VideoError              3: one video; it goes to the ledger and the run goes on (itself: an error unforeseen)
│   ├── UnreadableVideo        no decoder makes sense of it
│   ├── TruncatedVideo         decoding breaks off in the middle
│   ├── NoVideoStream          a file without pictures, an empty folder, not a file at all
│   ├── VideoTimeout           the time limit ran out; its process was killed
│   ├── VideoCrash             its process died (abort, segmentation fault, out of memory)
│   └── AnnotationError        its joints cannot be read or do not fit its frames
├── CacheError              4: the cache lacks what was asked for
│   ├── MissingFeatures        not extracted yet
│   ├── FormatError            not a segment of star's
│   │   └── OtherVersion           one of another format version
│   └── CorruptSegment         its bytes are not those that were written
├── MachineError            5: this machine lacks something
│   ├── MissingPackage         a package that is not installed
│   ├── DownloadError          weights, or a published list, that could not be fetched
│   └── StorageError           a full disk, a read-only or vanished folder
└── Interrupted             130: Ctrl-C or SIGTERM; what was finished is kept

A message names the value that is wrong and what to do about it, in one line.
"""

from __future__ import annotations

import errno
from traceback import walk_tb

DISK = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)  # of any file that is written


class StarError(Exception):
    """The root: whatever star raises on purpose."""

    exit_code = 1
    said = False  # whether another process of the same run says it already


class UsageError(StarError):
    """A command line that cannot be obeyed."""

    exit_code = 2


class RecipeError(UsageError):
    """A value in a recipe that cannot be used."""


class DatasetError(UsageError):
    """A data set that is not where, or not what, the recipe says."""


class MissingData(DatasetError):
    """A data set whose files are not where the recipe says; what the cache remembers of it may do."""


class WeightsError(UsageError):
    """A weights file that is refused or that belongs to another network."""


class VideoError(StarError):
    """One video failed; `kind` is its class in the ledger."""

    exit_code = 3
    kind = "failed"


class UnreadableVideo(VideoError):
    """No decoder makes sense of the file."""

    kind = "unreadable"


class TruncatedVideo(VideoError):
    """Decoding breaks off before the end."""

    kind = "truncated"


class NoVideoStream(VideoError):
    """Nothing there has pictures: an audio file, an empty folder, a device."""

    kind = "no_video"


class VideoTimeout(VideoError):
    """The time limit ran out and the process was killed."""

    kind = "timeout"


class VideoCrash(VideoError):
    """The process that worked on the video died."""

    kind = "crashed"


class AnnotationError(VideoError):
    """The annotated joints cannot be read or do not fit the frames."""

    kind = "annotation"


def unexpected(name: str, error: BaseException) -> VideoError:
    """What an error that nobody foresaw amounts to, where the work was about one video.

    name: the video's id. The message says where the error came from: the innermost line of star's own.
    """
    said = " ".join(str(error).split())[:300]
    frames = [frame for frame, _ in walk_tb(error.__traceback__) if __package__ in frame.f_globals.get("__name__", "")]
    place = f" in {frames[-1].f_globals['__name__']}, {frames[-1].f_code.co_name}" if frames else ""
    return VideoError(
        f"{name}: {type(error).__name__}{place}{': ' if said else ''}{said}; star did not expect this of a video: "
        "leave the video out, or report it"
    )


class CacheError(StarError):
    """The cache lacks, or cannot give, what was asked for."""

    exit_code = 4


class MissingFeatures(CacheError):
    """The features were not extracted yet."""


class FormatError(CacheError):
    """A file that is none of star's, or of a format that this star does not read."""


class OtherVersion(FormatError):
    """A file of another format version: another star can read it, this one cannot."""


class CorruptSegment(CacheError):
    """A segment whose bytes are not those that were written."""


class MachineError(StarError):
    """This machine lacks something that the command needs."""

    exit_code = 5


class MissingPackage(MachineError):
    """A package that is not installed."""


class DownloadError(MachineError):
    """Weights, or a published list, that could not be fetched."""


class StorageError(MachineError):
    """A full disk, a read-only folder, a folder that vanished."""


def machine_fault(error: BaseException) -> MachineError | None:
    """The MachineError that an error of Python's or torch's amounts to, None for one that may be anything else's: a
    device without memory, a disk without room."""
    if isinstance(error, MachineError):
        return error
    if isinstance(error, OSError) and error.errno in DISK:
        where = f"{error.filename}: " if error.filename else ""
        return StorageError(f"{where}{error.strerror}; make room, or name another folder")
    if type(error).__name__ == "OutOfMemoryError":  # torch's, which is not imported for it
        said = " ".join(str(error).split())[:200]
        return MachineError(f"the device's memory is full ({said}); free it, lower the batch, or use --device cpu")
    return None


class Interrupted(StarError):
    """Ctrl-C or SIGTERM; everything finished before it is kept."""

    exit_code = 130
