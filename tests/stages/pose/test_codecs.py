"""Batched decoding finds the points that mmpose's own codecs find, map by map."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from star.stages.pose import mmpose_compat
from star.stages.pose.codecs import DarkDecoder, DarkUdpDecoder, QuarterPixelDecoder, SimCCDecoder, batch_decoder

SIZE = 192, 256  # of the input, px: width, height


def codec(name: str, **settings: Any) -> Any:
    return getattr(mmpose_compat.import_module("mmpose.codecs"), name)(SIZE, **settings)


def heatmap_codecs(size: tuple[int, int]) -> list[tuple[Any, type]]:
    """All kinds, with the blurs that mmpose's configurations have and one that OpenCV has a table for."""
    blurs = ({}, {"blur_kernel_size": 17}, {"blur_kernel_size": 7})
    plain = codec("MSRAHeatmap", heatmap_size=size, sigma=2)
    dark = [codec("MSRAHeatmap", heatmap_size=size, sigma=2, unbiased=True, **blur) for blur in blurs]
    udp = [codec("UDPHeatmap", heatmap_size=size, **blur) for blur in blurs]
    return [
        (plain, QuarterPixelDecoder),
        *((one, DarkDecoder) for one in dark),
        *((one, DarkUdpDecoder) for one in udp),
    ]


def peaks(x: np.ndarray, y: np.ndarray, size: tuple[int, int], sigma: float) -> np.ndarray:
    """Gaussian heat maps (..., h, w) float32 around x, y (...)."""
    across = np.exp(-((np.arange(size[0]) - x[..., None]) ** 2) / (2 * sigma**2))
    down = np.exp(-((np.arange(size[1]) - y[..., None]) ** 2) / (2 * sigma**2))
    return (down[..., :, None] * across[..., None, :]).astype(np.float32)


def assert_as_mmpose(theirs: Any, kind: type, maps: np.ndarray) -> None:
    """Points within 0.01 px of the input, scores to the bit, in the shapes that mmpose's heads hand on."""
    ours = batch_decoder(theirs)
    assert type(ours) is kind
    points, scores = ours.batch_decode(torch.from_numpy(maps))
    expected = [theirs.decode(one) for one in maps]
    np.testing.assert_array_equal(scores, np.stack([score for _, score in expected]))
    there = scores > 0
    np.testing.assert_allclose(points[there], np.stack([point for point, _ in expected])[there], atol=0.01, rtol=0)


@pytest.mark.parametrize("size", [(48, 64), (40, 40)])
@pytest.mark.parametrize("sigma", [1.5, 2, 3])
def test_random_peaks(size: tuple[int, int], sigma: float):
    """Peaks anywhere, also outside the map, of any height, under noise of a hundredth of it."""
    random = np.random.default_rng(int(10 * sigma))
    x, y = (random.uniform(-2, side + 1, (8, 17)) for side in size)
    maps = peaks(x, y, size, sigma) * random.uniform(0.05, 1.1, (8, 17, 1, 1)).astype(np.float32)
    maps += 0.01 * maps.max((-1, -2), keepdims=True) * random.normal(size=maps.shape).astype(np.float32)
    for theirs, kind in heatmap_codecs(size):
        assert_as_mmpose(theirs, kind, maps)


def test_every_place_of_a_map():
    """A peak on each pixel of a small map, a little off its centre: all edges and corners and what is next to them."""
    size = 12, 10
    y, x = (one.reshape(10, 12).astype(float) for one in np.divmod(np.arange(120), 12))
    maps = peaks(x + 0.2, y - 0.3, size, 2)
    places = maps.reshape(120, -1).argmax(-1)
    assert len(set(places)) == 120
    for theirs, kind in heatmap_codecs(size):
        assert_as_mmpose(theirs, kind, maps)


def test_equal_values():
    """Of several maxima the first counts; equal neighbours move nothing."""
    random = np.random.default_rng(0)
    steps = random.integers(0, 4, (4, 17, 64, 48)).astype(np.float32)
    assert_as_mmpose(codec("MSRAHeatmap", heatmap_size=(48, 64), sigma=2), QuarterPixelDecoder, steps)
    flat_tops = peaks(random.uniform(5, 42, (4, 17)), random.uniform(5, 58, (4, 17)), (48, 64), 2).clip(0, 0.7)
    for theirs, kind in heatmap_codecs((48, 64)):
        assert_as_mmpose(theirs, kind, flat_tops)


def test_maps_without_a_joint_have_no_score_and_spoil_no_other():
    """All zero, all below zero, not a number: the score says so as mmpose's does, the joints beside are found."""
    maps = peaks(np.full((2, 5), 20.3), np.full((2, 5), 30.6), (48, 64), 2)
    maps[0, 1], maps[0, 3], maps[1, 0] = 0, -0.5, np.nan
    for theirs, kind in heatmap_codecs((48, 64)):
        with np.errstate(invalid="ignore"):
            points, scores = batch_decoder(theirs).batch_decode(torch.from_numpy(maps))
            assert scores[0, 0, 1] == 0
            assert scores[0, 0, 3] == -0.5
            assert np.isnan(scores[1, 0, 0])
            assert (scores > 0).sum() == 7
            assert np.ptp(points[scores > 0], axis=0).max() == 0
            assert_as_mmpose(theirs, kind, maps[:, [2, 4]])


def test_a_map_does_not_depend_on_its_batch():
    """Bit by bit the same point in any place of a batch."""
    random = np.random.default_rng(1)
    maps = torch.from_numpy(peaks(random.uniform(0, 47, (6, 17)), random.uniform(0, 63, (6, 17)), (48, 64), 2))
    order = torch.tensor([3, 0, 5, 4, 1, 2])
    for theirs, _ in heatmap_codecs((48, 64)):
        points, _ = batch_decoder(theirs).batch_decode(maps)
        np.testing.assert_array_equal(batch_decoder(theirs).batch_decode(maps[order])[0], points[order.numpy()])


@pytest.mark.parametrize("ratio", [2.0, 3.0])
def test_simcc(ratio: float):
    """To the bit: peaked and stepped vectors, and some without a joint."""
    random = np.random.default_rng(2)
    along_x, along_y = (random.normal(size=(8, 17, int(side * ratio))).astype(np.float32) for side in SIZE)
    along_x[4:], along_y[4:] = along_x[4:].round(), along_y[4:].round()
    along_x[0, 3], along_y[1, 4] = 0, -1
    theirs = codec("SimCCLabel", sigma=(4.9, 5.66), simcc_split_ratio=ratio, normalize=False)
    ours = batch_decoder(theirs)
    assert type(ours) is SimCCDecoder
    points, scores = ours.batch_decode(torch.from_numpy(along_x), torch.from_numpy(along_y))
    expected = [theirs.decode(*one) for one in zip(along_x, along_y, strict=True)]
    np.testing.assert_array_equal(scores, np.stack([score for _, score in expected]))
    there = scores > 0
    assert there.sum() == there.size - 2
    np.testing.assert_array_equal(points[there], np.stack([point for point, _ in expected])[there])


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("UDPHeatmap", {"heatmap_size": (48, 64), "heatmap_type": "combined"}),
        ("SimCCLabel", {"use_dark": True}),
        ("SimCCLabel", {"decode_visibility": True}),
        ("MegviiHeatmap", {"heatmap_size": (48, 64), "kernel_size": 11}),
    ],
)
def test_other_codecs_stay_mmposes_own(name: str, settings: dict[str, Any]):
    """What has no batched twin is handed back, so that mmpose decodes it."""
    theirs = codec(name, **settings)
    assert batch_decoder(theirs) is theirs
