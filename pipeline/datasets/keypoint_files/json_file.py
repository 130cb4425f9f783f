"""JSON files of strangers: whole or one line that says why not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from ....errors import AnnotationError
from ....untrusted_files import UntrustedFile, read_bytes

MOST = 1 << 30  # bytes: joints of one video take megabytes


def load_json(path: Path) -> Any:
    """The document in a file. Raises AnnotationError for one that is no JSON, too large, or nested without end."""
    try:
        return json.loads(read_bytes(path, MOST))
    except OSError as error:
        raise AnnotationError(f"{path}: {error.strerror}; restore it, or correct the list") from None
    except UntrustedFile as error:
        raise AnnotationError(f"{path}: {error}; split it into one file of JSON per video") from None
    except RecursionError:
        raise AnnotationError(f"{path}: JSON nested without end; it is no file of joints") from None
    except MemoryError:
        raise AnnotationError(f"{path}: its JSON does not fit into memory; split it into one file per video") from None
    except ValueError as error:
        raise AnnotationError(f"{path}: not JSON ({error}); write it anew") from None


def numbers(values: Any, path: Path, what: str, *shape: int) -> np.ndarray:
    """A nested list as float32 (*shape), -1 for a side of any length. Raises AnnotationError where it is none.

    `null` is no number, and becomes NaN.
    """
    try:
        found = np.array(values, np.float64)
    except (ValueError, TypeError, OverflowError):
        raise AnnotationError(f"{path}: {what} is no array of numbers with equal rows; write it anew") from None
    fits = found.ndim == len(shape) and all(want in (-1, side) for want, side in zip(shape, found.shape, strict=True))
    if not fits:
        wanted = ", ".join("any" if side < 0 else str(side) for side in shape)
        raise AnnotationError(f"{path}: {what} is {found.shape} where ({wanted}) was expected; write it anew")
    with np.errstate(over="ignore"):
        return found.astype(np.float32)


def scored(places: np.ndarray, scores: np.ndarray | None = None) -> np.ndarray:
    """Places (..., 2 or 3) with a score (...) as the last number, 1 without scores; what is not finite is all zero."""
    scores = np.ones(places.shape[:-1], np.float32) if scores is None else scores
    found = np.concatenate([places, scores[..., None]], -1).astype(np.float32)
    found[~(np.isfinite(found).all(-1) & (found[..., -1] > 0))] = 0
    return found
