"""Casts between float16 and float32."""

import warnings

import numpy as np

from star.stages.float16 import CHUNK, to_float16, to_float32


def test_every_float16_keeps_its_value():
    """All 65,536 bit patterns, subnormal, infinite and NaN ones included, are those of numpy's cast."""
    values = np.arange(65536, dtype=np.uint16).view(np.float16).reshape(16, -1)
    result = to_float32(values)
    assert result.dtype == np.float32
    assert np.array_equal(result, values.astype(np.float32), equal_nan=True)


def test_float16_is_rounded_as_numpy_rounds():
    """Numbers of every size, ties and subnormal results included, over several pieces and a rest."""
    rng = np.random.default_rng(0)
    values = (rng.normal(size=3 * CHUNK + 7) * 10.0 ** rng.uniform(-12, 4, 3 * CHUNK + 7)).astype(np.float32)
    ties = (np.arange(1, 1000) + 0.5).astype(np.float32) * np.float32(2.0**-24)
    for sample in (values, ties, np.zeros((0, 3), np.float32)):
        result = to_float16(sample)
        assert result.dtype == np.float16
        assert result.shape == sample.shape
        with np.errstate(over="ignore"):
            assert np.array_equal(result, sample.astype(np.float16))


def test_any_layout_is_taken():
    """Transposed, reversed and read-only arrays give the same numbers, without a warning, and stay as they were."""
    values = np.random.default_rng(1).normal(size=(40, 50)).astype(np.float16)
    locked = values.copy()
    locked.flags.writeable = False
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for view in (values.T, values[::-1], values[:, ::2], locked):
            assert np.array_equal(to_float32(view), view.astype(np.float32))
    assert not locked.flags.writeable
