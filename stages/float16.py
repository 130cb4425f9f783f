"""float16 to float32 and back, quickly and on one core.

numpy casts float16 without the processor's instruction for it, ten times slower than torch. torch in turn shares any
tensor of more than 32,768 numbers among its threads, and where children decode on every core, waiting for those takes
longer than the cast. So: torch, in pieces that it does not share; in a thread that torch knows to be alone, at once.
"""

from __future__ import annotations

import numpy as np

CHUNK = 16384


def to_float32(values: np.ndarray) -> np.ndarray:
    """The same numbers as float32, exactly; for float16 of any shape."""
    return _cast(values, np.float32)


def to_float16(values: np.ndarray) -> np.ndarray:
    """The nearest float16, ties to even, as numpy rounds; for float32 of any shape. Too large a number is infinite."""
    return _cast(values, np.float16)


def _cast(values: np.ndarray, dtype: type[np.floating]) -> np.ndarray:
    import torch

    result = np.empty(values.shape, dtype)
    source = torch.from_numpy(np.require(values, requirements=("C", "W")).reshape(-1))  # torch wants it writable
    target = torch.from_numpy(result.reshape(-1))
    piece = max(values.size, 1) if torch.get_num_threads() == 1 else CHUNK
    for start in range(0, values.size, piece):
        target[start : start + piece].copy_(source[start : start + piece])
    return result
