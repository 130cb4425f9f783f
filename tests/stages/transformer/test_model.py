"""The network as a whole."""

from __future__ import annotations

import inspect
import subprocess
import sys

import numpy as np
import pytest
import torch

from star.errors import UsageError
from star.pipeline.recipe import schema
from star.stages.transformer import STARTransformer

SMALL = {
    "classes": 5, "joints": 3, "frames": 4, "grid_channels": 6, "grid_cells": 4, "joint_channels": 7, "width": 8,
    "heads": 2, "encoder_layers": 2, "decoder_layers": 1,
}  # fmt: skip


def make(**settings):
    torch.manual_seed(0)
    return STARTransformer(**{**SMALL, **settings})


def given(network, batch=2, seed=0):
    """Random arrays, the same on every machine."""
    numbers = np.random.RandomState(seed)
    shapes = {name: array.shape for name, array in network.example(batch, map_size=5).items()}
    dtype = next(network.parameters()).dtype
    return {name: torch.from_numpy(numbers.random_sample(tuple(shape))).to(dtype) for name, shape in shapes.items()}


def by_equations(network, arrays, by_hand, read):
    """Logits of the first clip: tokens, layers, read-out and MLP written out over lists of vectors."""
    tokens, grid, maps = network.tokens, arrays["global_grid"][0], arrays["joint_map"][0].numpy()
    values = {name: value.detach().numpy() for name, value in tokens.named_parameters()}
    project = {part: (values[f"{part}.project.weight"], values[f"{part}.project.bias"]) for part in ("grid", "joints")}
    z = np.stack(
        [
            np.stack(
                [values["cls_global"]]
                + [by_hand.affine(project["grid"], cell) for cell in grid[t].flatten(1).T.numpy()]
                + [values["cls_joint"]]
                + [by_hand.affine(project["joints"], maps[t, n]) + values["joints.position"][t, n] for n in range(3)]
                + [values["cls_total"]]
            )
            for t in range(4)
        ]
    )
    for name, layer in network.layers:
        z = by_hand.post(layer, "FZ" if name.startswith("encoder") else "FB", z, 2)
    mean = sum(z[t, place] for t in range(4) for place in read) / (4 * len(read))
    head = [p.detach().numpy() for p in network.head.parameters()]
    hidden = torch.nn.functional.gelu(torch.from_numpy(head[0] @ mean + head[1])).numpy()
    return head[2] @ hidden + head[3]


@pytest.mark.parametrize(
    ("readout", "places"), [("class_tokens", [0, 5, 9]), ("total", [9]), ("mean", [1, 2, 3, 4, 6, 7, 8])]
)
def test_the_network_is_its_equations(readout, places, by_hand):
    """Logits equal an independent loop over the equations of docs/method.md, for every read-out."""
    network = by_hand.fill(make(readout=readout))
    arrays = given(network)
    expected = by_equations(network, arrays, by_hand, places)
    torch.testing.assert_close(network(**arrays)[0].detach(), torch.from_numpy(expected))


def test_pinned_logits(by_hand):
    """The numbers of that loop for weights and arrays drawn from numpy's RandomState(0), class token read-out."""
    network = by_hand.fill(make())
    expected = torch.tensor(PINNED, dtype=torch.float64)  # by_equations(...) of both clips, class tokens at 0, 5 and 9
    torch.testing.assert_close(network(**given(network)).detach(), expected, rtol=1e-9, atol=1e-9)


PINNED = [
    [0.874919082948, 3.16669200312, 2.39771372626, -2.24016859994, 0.874692902878],
    [0.878937258749, 3.16568186669, 2.40260787931, -2.24818648907, 0.872653056279],
]


def test_parameters_of_the_default_network():
    """26,267,151 with 15 classes and 13 joints, added up by hand from the sizes in docs/method.md."""
    d, square = 512, 512 * 512
    tokens = (512 * d + d) + (784 * d + d) + 16 * 13 * d + 3 * d
    module, mlp, norm = 4 * (square + d), 2 * 4 * square + 4 * d + d, 2 * d
    layers = 6 * (2 * (module + norm) + mlp + norm)
    head = (square + d) + (15 * d + 15)
    network = STARTransformer(classes=15, joints=13)
    assert sum(p.numel() for p in network.parameters()) == tokens + layers + head == 26_267_151


def test_settings_are_those_of_the_recipe():
    """Every field of the recipe's section `model` is an argument here, with the same default, and none is left over."""
    ours = {name: p.default for name, p in inspect.signature(STARTransformer.__init__).parameters.items()}
    theirs = schema.ModelSettings().model_dump(exclude={"pose_head"})  # which stands before the transformer
    assert {name: ours[name] for name in theirs} == theirs
    from_the_data = {"self", "classes", "joints", "frames", "grid_channels", "grid_cells", "joint_channels"}
    assert set(ours) - set(theirs) == from_the_data | {"concat_conv", "local_channels", "heatmaps", "pooled_channels"}


VARIANTS = [
    {},
    {"encoder": ("F", "F"), "decoder": ("F", "F")},
    {"encoder": ("Z", "F"), "decoder": ("Z", "B"), "share_branches": False},
    {"encoder": ("A",), "decoder": ("A",)},
    {"norm": "pre", "order": "concatenate", "class_tokens": "clip"},
    {"modalities": "global", "position": "all", "readout": "total"},
    {"modalities": "joint", "class_tokens": "none", "readout": "mean", "head": "linear"},
    {"concat_conv": True, "position": "none", "encoder_layers": 0},
    {"heatmaps": True, "joint_channels": 9},
    {"encoder_layers": 0, "decoder_layers": 0, "readout": "mean", "class_tokens": "none"},
    {"joints": 50, "attention_dropout": 0.1, "mlp_ratio": 1.5},
]


@pytest.mark.parametrize("settings", VARIANTS)
def test_every_parameter_of_every_variant_learns(settings):
    """A training step in bfloat16 autocast reaches every parameter with a finite gradient: DDP finds none unused."""
    network = make(**settings).train()
    with torch.autocast("cpu", torch.bfloat16):
        logits = network(**given(network))
        loss = torch.nn.functional.cross_entropy(logits, torch.tensor([1, 4]))
    loss.backward()
    assert logits.shape == (2, 5)
    without = [name for name, p in network.named_parameters() if p.grad is None or not torch.isfinite(p.grad).all()]
    assert without == []


@pytest.mark.parametrize("settings", [VARIANTS[0], VARIANTS[4], VARIANTS[7]])
def test_compiles_without_a_graph_break(settings):
    """torch.compile takes the whole network as one graph, in training and in eval mode, with the same results."""
    network = make(**settings, dropout=0.0)
    arrays = given(network)
    torch._dynamo.reset()
    compiled = torch.compile(network, fullgraph=True, backend="eager")
    for mode in (True, False):
        network.train(mode)
        torch.testing.assert_close(compiled(**arrays), network(**arrays))
        with torch.autocast("cpu", torch.bfloat16):
            torch.testing.assert_close(compiled(**arrays), network(**arrays))


def test_trains_from_its_initialisation():
    """The default depth with post-norm learns 12 random clips by heart in 100 steps of AdamW, without warm-up."""
    network = make(width=32, encoder_layers=3, decoder_layers=3, dropout=0.0)
    arrays, labels = given(network, batch=12), torch.arange(12) % 5
    optimizer = torch.optim.AdamW(network.parameters(), lr=2e-3)
    for _ in range(100):
        loss = torch.nn.functional.cross_entropy(network(**arrays), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert (network(**arrays).argmax(1) == labels).all()


def test_initial_values():
    """Positions have deviation 0.02; Q, K and V are drawn alike, what is added 50 times smaller; biases are zero."""
    torch.manual_seed(0)
    network = STARTransformer(classes=5, joints=13, width=64, heads=2)
    assert network.tokens.joints.position.std().item() == pytest.approx(0.02, rel=0.05)
    module = network.encoder[0].attention[0].inner
    bound = (6 / 128) ** 0.5
    for weight in (module.query.weight, *module.key_value.weight.chunk(2), 50 * module.output.weight):
        assert 0.98 * bound < weight.abs().max().item() <= 1.0001 * bound
    assert not any(p.any() for name, p in network.named_parameters() if name.endswith("project.bias"))


def test_clip_tokens_are_one_token_in_all_frames(by_hand):
    """class_tokens "clip": after every layer the class tokens are the same in all frames, and no other token is."""
    network = by_hand.fill(make(class_tokens="clip"))
    z = network.carry(network.encoder[0](network.embed(**given(network))))
    apart = (z - z[:, :1]).abs().amax((0, 1, 3)) > 1e-6
    assert apart.tolist() == [False] + [True] * 4 + [False] + [True] * 3 + [False]
    raw = network.encoder[0](network.embed(**given(network)))
    torch.testing.assert_close(z[:, 0, [0, 5, 9]], raw[:, :, [0, 5, 9]].mean(1))


REVERSED = [3, 2, 1, 0]


@pytest.mark.parametrize(
    ("settings", "blind"),
    [
        ({}, False),
        ({"position": "none"}, True),
        ({"modalities": "global"}, True),
        ({"modalities": "global", "position": "all"}, False),
        ({"position": "none", "share_branches": False}, False),
    ],
)
def test_what_tells_the_order_of_time(settings, blind, by_hand):
    """A clip and its reverse get the same logits unless tokens carry positions or branches their own weights."""
    network = by_hand.fill(make(**settings))
    arrays = given(network)
    backwards = {name: array[:, REVERSED] for name, array in arrays.items()}
    assert torch.allclose(network(**arrays), network(**backwards), atol=1e-6) is blind


@pytest.mark.parametrize("order", ["restore", "concatenate"])
@pytest.mark.parametrize("norm", ["post", "pre"])
def test_frame_attention(norm, order, by_hand):
    """One (b, t, q, t) per module; rows add up to 1, Z and B give a frame's own part nothing, logits do not change."""
    network = by_hand.fill(make(norm=norm, order=order))
    arrays = given(network)
    logits, found = network(**arrays), network.frame_attention(**arrays)
    assert list(found) == ["encoder.0.F", "encoder.0.Z", "encoder.1.F", "encoder.1.Z", "decoder.0.F", "decoder.0.B"]
    for name, weights in found.items():
        assert weights.shape == (2, 4, 3, 4)
        torch.testing.assert_close(weights.sum(-1), torch.ones(2, 4, 3, dtype=torch.float64))
        if order == "restore" and not name.endswith("F"):
            letter = name[-1]
            allowed = [[by_hand.may_ask(letter, a, o, 4) for o in range(1, 5)] for a in range(1, 5)]
            assert torch.equal((weights > 0).all(2).all(0), torch.tensor(allowed))
    assert torch.equal(network(**arrays), logits)


def test_frame_attention_names_a_module_that_comes_twice():
    """A layer that holds F twice gives two entries."""
    network = make(encoder=("F", "F"), encoder_layers=1, decoder_layers=0).eval()
    assert list(network.frame_attention(**given(network))) == ["encoder.0.F", "encoder.0.F2"]


def test_frame_attention_follows_permuted_frames(by_hand):
    """Literal concatenation permutes the frames for the second layer; rows and columns still name the clip's own."""
    network = by_hand.fill(make(order="concatenate", encoder=("Z",), encoder_layers=2, decoder_layers=0))
    second = network.frame_attention(**given(network))["encoder.1.Z"]
    # After the first Z the frames stand as 1 3 2 4, so the second one's "odd" frames are 1 and 2.
    allowed = torch.tensor([[0, 0, 1, 1], [0, 0, 1, 1], [1, 1, 0, 0], [1, 1, 0, 0]]).bool()
    assert torch.equal((second > 0).all(2).all(0), allowed)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"frames": 15}, "frames: 15 is odd; zigzag and binary attention need an even number of frames"),
        ({"width": 30, "heads": 8}, "width: 30 is not a multiple of heads (8)"),
        ({"norm": "mid"}, "norm: 'mid' is not one of post, pre"),
        ({"readout": "first"}, "readout: 'first' is not one of class_tokens, total, mean"),
        (
            {"class_tokens": "none"},
            "readout 'class_tokens' needs class tokens and class_tokens is 'none'; set readout to 'mean'",
        ),
        (
            {"encoder": ()},
            "a layer without attention modules; name at least one of F, Z, B, A, or set its layers to 0",
        ),
    ],
)
def test_settings_that_do_not_go_together(settings, message):
    """Each is refused in one line."""
    with pytest.raises(UsageError) as error:
        make(**settings)
    assert str(error.value) == message


def test_odd_frames_are_fine_where_nothing_splits_them():
    """F and A alone take 5 frames."""
    network = make(frames=5, encoder=("F",), decoder=("A",))
    assert network(**given(network)).shape == (2, 5)


ALONE = """
import sys
for name in "decord mmpose mmcv mmengine av cv2 h5py yaml pydantic dask click scipy torchvision".split():
    sys.modules[name] = None
from star.stages.transformer import STARTransformer
network = STARTransformer(classes=15, joints=13, width=16)
print(tuple(network(**network.example()).shape), sorted(m for m in sys.modules if m.startswith("star.pipeline")))
"""


def test_importable_alone():
    """`from star.stages.transformer import STARTransformer` needs torch and nothing else; no recipe, no cache."""
    done = subprocess.run([sys.executable, "-c", ALONE], capture_output=True, text=True, check=False)
    assert (done.stdout, done.returncode) == ("(1, 15) []\n", 0), done.stderr
