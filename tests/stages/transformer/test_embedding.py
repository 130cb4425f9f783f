"""From cached arrays to the sequence of tokens."""

from __future__ import annotations

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from star.errors import UsageError
from star.stages.transformer import STARTransformer
from star.stages.transformer.embedding import ConcatConv

B, T, N, D = 2, 4, 5, 8
P = 6  # 2 rows × 3 columns


def make(**settings):
    torch.manual_seed(3)
    sizes = {"frames": T, "grid_channels": 7, "grid_cells": P, "joint_channels": 9, "width": D, "heads": 2}
    sizes |= {"classes": 3, "joints": N, "encoder_layers": 1, "decoder_layers": 1}
    return STARTransformer(**sizes | settings).double().eval()


def arrays():
    generator = torch.Generator().manual_seed(0)
    grid = torch.randn(B, T, 7, 2, 3, dtype=torch.float64, generator=generator)
    return {"global_grid": grid, "joint_map": torch.randn(B, T, N, 9, dtype=torch.float64, generator=generator)}


def test_order_of_the_tokens():
    """CLS_global, the grid's cells row by row, CLS_joint, joints + pos, CLS_total: S = P + N + 3, every frame alike."""
    tokens, given = make().tokens, arrays()
    z = tokens(**given)
    assert z.shape == (B, T, P + N + 3, D)
    for b in range(B):
        for t in range(T):
            frame = [tokens.cls_global]
            frame += [tokens.grid.project(given["global_grid"][b, t, :, y, x]) for y in range(2) for x in range(3)]
            frame += [tokens.cls_joint]
            joints = given["joint_map"][b, t]
            frame += [tokens.joints.project(joints[n]) + tokens.joints.position[t, n] for n in range(N)]
            frame += [tokens.cls_total]
            torch.testing.assert_close(z[b, t], torch.stack(frame))


@pytest.mark.parametrize(
    ("settings", "count"),
    [
        ({}, P + N + 3),
        ({"modalities": "global"}, P + 2),
        ({"modalities": "joint"}, N + 2),
        ({"class_tokens": "none", "readout": "mean"}, P + N),
        ({"class_tokens": "none", "readout": "mean", "modalities": "joint"}, N),
        ({"class_tokens": "clip"}, P + N + 3),
    ],
)
def test_how_many_tokens_a_frame_has(settings, count):
    """A modality that is left out takes its class token along; without class tokens only the others stay."""
    network = make(**settings)
    z = network.embed(**{name: array for name, array in arrays().items() if name in network.inputs})
    assert z.shape == (B, T, count, D)
    assert len(network.tokens.layout()) == count


def test_a_standardised_grid_has_channels_of_equal_spread():
    """Once measured, a channel's mean becomes 0 and its deviation 1 before the projection; a dead channel stays 0."""
    network = make(standardize=True)
    grid = network.tokens.grid
    torch.manual_seed(0)
    cells = torch.randn(B, T, grid.channels, *arrays()["global_grid"].shape[3:], dtype=torch.float64) * 1e-3 + 7
    cells[:, :, 0] = 5
    mean, deviation = cells.mean((0, 1, 3, 4)), cells.std((0, 1, 3, 4), correction=0)
    network.tokens.standardize.set_statistics(mean, deviation)
    wanted = (cells - mean[:, None, None]) / deviation.where(deviation > 0, torch.ones_like(deviation))[:, None, None]
    torch.testing.assert_close(grid(cells), grid.project(wanted.flatten(3).transpose(2, 3)), rtol=1e-3, atol=1e-3)
    assert (grid.standardize(cells.movedim(2, -1))[..., 0] == 0).all()


def test_sizes_of_the_paper():
    """65 tokens a frame with Penn Action's 13 joints, 77 with NTU's 25, 102 with two people side by side."""
    counts = [len(STARTransformer(classes=2, joints=n, width=8).tokens.layout()) for n in (13, 25, 50)]
    assert counts == [65, 77, 102]


@pytest.mark.parametrize(
    ("position", "grid", "joints"), [("joint", False, True), ("all", True, True), ("none", False, False)]
)
def test_who_carries_a_position(position, grid, joints):
    """Learned positions, one per frame and token: on joint tokens, on grid tokens too, or on none."""
    tokens = make(position=position).tokens
    assert (tokens.grid.position is not None, tokens.joints.position is not None) == (grid, joints)
    if grid:
        given = arrays()
        bare = tokens.grid.project(given["global_grid"].flatten(3).transpose(2, 3))
        torch.testing.assert_close(tokens.grid(given["global_grid"]) - bare, tokens.grid.position.expand(B, -1, -1, -1))


def test_cached_float16_is_taken_as_it_comes():
    """Arrays come as float16 from the cache; the network computes in its own precision."""
    network, given = make(), arrays()
    half = {name: array.half() for name, array in given.items()}
    assert torch.equal(network(**half), network(**{name: array.double() for name, array in half.items()}))


def maps(joints=N, size=6):
    generator = torch.Generator().manual_seed(1)
    local = torch.randn(B, T, 4, size, size, dtype=torch.float64, generator=generator)
    return local, torch.rand(B, T, joints, size, size, dtype=torch.float64, generator=generator)


def test_concat_conv_is_the_explicit_form():
    """[F; h_n] laid out, a real 1×1 convolution over it, then the h_n-weighted pool, joint by joint."""
    module, (local, heat) = ConcatConv(4, 10).double(), maps()
    torch.nn.init.normal_(module.conv.bias)
    found = module(local, heat)
    assert found.shape == (B, T, N, 10)
    for b in range(B):
        for t in range(T):
            for n in range(N):
                h = heat[b, t, n]
                both = torch.cat([local[b, t], h[None]])[None]
                convolved = torch.nn.functional.conv2d(both, module.conv.weight[:, :, None, None], module.conv.bias)[0]
                torch.testing.assert_close(found[b, t, n], (convolved * h).sum((1, 2)) / h.sum())


def test_concat_conv_of_an_absent_joint_is_zero():
    """A heat map of zeros gives a zero token and finite gradients."""
    module, (local, heat) = ConcatConv(4, 10).double(), maps()
    heat[0, 1, 2] = 0
    heat.requires_grad_()
    found = module(local, heat)
    assert torch.equal(found[0, 1, 2], torch.zeros(10, dtype=torch.float64))
    found.sum().backward()
    assert torch.isfinite(heat.grad).all()


class Largest(TorchDispatchMode):
    """Remembers the largest tensor that any operation makes."""

    numel = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        if isinstance(out, torch.Tensor):
            self.numel = max(self.numel, out.numel())
        return out


def test_concat_conv_never_lays_out_its_concatenation():
    """No intermediate result is larger than the larger of its two inputs, forward and backward."""
    module, (local, heat) = ConcatConv(4, 10).double(), maps(joints=13)
    with Largest() as largest:
        module(local, heat).sum().backward()
    assert 0 < largest.numel <= max(local.numel(), heat.numel())


def test_concat_conv_inside_the_network():
    """With concat_conv the network reads local map and heat maps, and its joint tokens are ConcatConv's."""
    network, given = make(concat_conv=True, local_channels=4, conv_channels=10), arrays()
    local, heat = maps()
    assert network.inputs == ("global_grid", "local_map", "joint_heatmap")
    z = network.embed(given["global_grid"], local_map=local, joint_heatmap=heat)
    joints = network.tokens.joints(network.concat_conv(local, heat))
    torch.testing.assert_close(z[:, :, P + 2 : -1], joints)


def test_heat_maps_alone_are_tokens():
    """With heatmaps each joint token is its heat map, cell by cell: the same network on the flat maps agrees."""
    given, (_, heat) = arrays(), maps()
    bare, flat = (make(joint_channels=36, heatmaps=bare) for bare in (True, False))
    assert bare.inputs == ("global_grid", "joint_heatmap")
    found = bare.embed(given["global_grid"], joint_heatmap=heat)
    torch.testing.assert_close(found, flat.embed(given["global_grid"], heat.flatten(3)))


@pytest.mark.parametrize(
    ("settings", "change", "message"),
    [
        ({}, {"joint_map": None}, "joint_map: this network needs it and it was not given"),
        (
            {},
            {"joint_map": torch.zeros(2, 4, 13, 9)},
            "joint_map: shape (2, 4, 13, 9), but this network was built for (any, 4, 5, 9)",
        ),
        (
            {},
            {"global_grid": torch.zeros(2, 16, 7, 2, 3)},
            "global_grid: shape (2, 16, 7, 2, 3), but this network was built for (any, 4, 7, any, any)",
        ),
        (
            {},
            {"global_grid": torch.zeros(2, 4, 7, 7, 7)},
            "global_grid: 49 cells, but this network was built for 6",
        ),
        (
            {"concat_conv": True, "local_channels": 4},
            {"local_map": torch.zeros(2, 4, 4, 6, 6), "joint_heatmap": torch.zeros(2, 4, 5, 7, 7)},
            "joint_heatmap: shape (2, 4, 5, 7, 7), but this network was built for (2, 4, any, 6, 6)",
        ),
    ],
)
def test_arrays_that_do_not_fit(settings, change, message):
    """A missing array or one of another shape is named in one line."""
    with pytest.raises(UsageError) as error:
        make(**settings)(**{**arrays(), **change})
    assert str(error.value) == message
