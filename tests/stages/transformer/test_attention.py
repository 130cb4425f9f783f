"""The attention modules against the equations."""

from __future__ import annotations

import pytest
import torch
from torch.overrides import TorchFunctionMode

from star.errors import UsageError
from star.stages.transformer import AverageAttention, BAttn, FAttn, ZAttn
from star.stages.transformer.attention import attention

B, T, S, D, HEADS = 2, 6, 3, 8, 2


def make(letter, *, width=D, heads=HEADS, dropout=0.0, share_branches=True, order="restore"):
    torch.manual_seed(1)
    settings = {"dropout": dropout, "share_branches": share_branches, "order": order}
    module = attention(letter, width=width, heads=heads, **settings).double().eval()
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter, std=0.6)
    return module


def clips(frames=T, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(B, frames, S, D, dtype=torch.float64, generator=generator)


class Calls(TorchFunctionMode):
    """Counts calls of scaled_dot_product_attention and keeps the shapes of Q."""

    def __init__(self):
        super().__init__()
        self.shapes, self.types = [], []

    def __torch_function__(self, func, types, args=(), kwargs=None):
        if func is torch.nn.functional.scaled_dot_product_attention:
            self.shapes.append(tuple(args[0].shape))
            self.types += [x.dtype for x in args[:3]]
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("share_branches", [True, False])
@pytest.mark.parametrize("letter", ["F", "Z", "B"])
def test_attention_is_the_equation_written_token_by_token(letter, share_branches, by_hand):
    """Every output of F, Z and B, branches shared or separate, is the softmax-weighted sum over the tokens named."""
    module, z = make(letter, share_branches=share_branches), clips()
    for clip, found in zip(z, module(z), strict=True):
        expected, _ = by_hand.attend(module, letter, clip.numpy(), HEADS)
        torch.testing.assert_close(found.detach(), torch.from_numpy(expected))


def test_average_is_full_attention_whose_weights_are_all_equal():
    """A gives what F gives when every query is zero, that is, when every weight is 1/(t·s)."""
    average, full, z = make("A"), make("F"), clips()
    average.load_state_dict(
        {
            "value.weight": full.key_value.weight[D:],
            "value.bias": full.key_value.bias[D:],
            "output.weight": full.output.weight,
            "output.bias": full.output.bias,
        }
    )
    for parameter in full.query.parameters():
        torch.nn.init.zeros_(parameter)
    torch.testing.assert_close(average(z), full(z))


@pytest.mark.parametrize(("letter", "length"), [("F", T * S), ("Z", T * S // 2), ("B", T * S // 2)])
def test_one_call_of_the_fused_kernel(letter, length):
    """Each module makes one scaled_dot_product_attention call; Z and B put both branches on its batch axis."""
    with Calls() as calls:
        make(letter)(clips())
    assert calls.shapes == [(B if letter == "F" else 2 * B, HEADS, length, D // HEADS)]


@pytest.mark.parametrize("letter", ["F", "Z", "B"])
def test_on_a_cpu_bfloat16_is_multiplied_in_float32(letter):
    """In mixed precision Q, K and V reach the fused kernel as float32 on a CPU, and bfloat16 comes out again."""
    module, calls = make(letter).float(), Calls()
    with torch.autocast("cpu", torch.bfloat16), calls:
        out = module(clips().float())
    assert calls.types == [torch.float32] * 3
    assert out.dtype == torch.bfloat16
    torch.testing.assert_close(out.float(), module(clips().float()), rtol=0.05, atol=0.05)


@pytest.mark.parametrize("share_branches", [True, False])
@pytest.mark.parametrize("order", ["restore", "concatenate"])
@pytest.mark.parametrize("letter", ["F", "Z", "B", "A"])
def test_gradients(letter, order, share_branches):
    """The gradient of every module, also where only some tokens ask, agrees with finite differences in float64."""
    module = make(letter, width=4, share_branches=share_branches, order=order)
    z = clips(frames=2)[:1, :, :2, :4].clone().requires_grad_()
    assert torch.autograd.gradcheck(lambda z: module(z, z[:, :, 1:]), (z,), fast_mode=True)
    assert torch.autograd.gradcheck(module, (z,), fast_mode=True)


@pytest.mark.parametrize("letter", ["F", "Z", "B", "A"])
@pytest.mark.parametrize("order", ["restore", "concatenate"])
def test_only_some_tokens_ask(letter, order):
    """With queries, the outputs are those that these tokens have when all ask."""
    module, z = make(letter, order=order), clips()
    torch.testing.assert_close(module(z, z[:, :, [0, 2]]), module(z)[:, :, [0, 2]])


def test_swapping_halves_swaps_the_outputs_of_binary_attention():
    """With shared branches BAttn does not know which half is first: its outputs move with the halves."""
    module, z = make("B"), clips()
    swap = [3, 4, 5, 0, 1, 2]
    torch.testing.assert_close(module(z[:, swap]), module(z)[:, swap])


def test_swapping_parities_swaps_the_outputs_of_zigzag_attention():
    """With shared branches ZAttn does not know which frames are odd: its outputs move with the parities."""
    module, z = make("Z"), clips()
    swap = [1, 0, 3, 2, 5, 4]
    torch.testing.assert_close(module(z[:, swap]), module(z)[:, swap])


@pytest.mark.parametrize(("letter", "swap"), [("Z", [1, 0, 3, 2, 5, 4]), ("B", [3, 4, 5, 0, 1, 2])])
def test_separate_branches_know_their_part(letter, swap):
    """With separate branches the outputs move with the parts only if the branches' weights change places as well."""
    module, z = make(letter, share_branches=False), clips()
    before = module(z)[:, swap]
    assert not torch.allclose(module(z[:, swap]), before, atol=1e-3)
    module.load_state_dict({name: value.flip(0) for name, value in module.state_dict().items()})
    torch.testing.assert_close(module(z[:, swap]), before)


@pytest.mark.parametrize(
    ("letter", "order"), [("F", [5, 2, 0, 1, 4, 3]), ("Z", [4, 3, 0, 1, 2, 5]), ("B", [2, 0, 1, 5, 3, 4])]
)
def test_frames_that_change_places_inside_a_part(letter, order):
    """A permutation of frames that keeps the parts (for F any) permutes the outputs in the same way."""
    module, z = make(letter), clips()
    torch.testing.assert_close(module(z[:, order]), module(z)[:, order])


def test_a_change_in_an_odd_frame_reaches_odd_outputs_only_through_even_ones():
    """One ZAttn carries frame 3 to all even frames and to no other odd one; a second carries it on to all."""
    module, z = make("Z"), clips()
    changed = z.clone()
    changed[:, 2, 1] += 1.0
    moved = (module(changed) - module(z)).abs().amax((0, 3)) > 1e-9  # (t, s)
    expected = torch.tensor([[t % 2 == 1 or (t, s) == (2, 1) for s in range(S)] for t in range(T)])
    assert torch.equal(moved, expected)
    twice = (module(module(changed)) - module(module(z))).abs().amax((0, 3)) > 1e-9
    assert twice.all()


def test_a_change_in_the_first_half_reaches_the_second_and_not_the_first():
    """One BAttn carries frame 1 to frames 4 to 6; frames 2 and 3 don't see it."""
    module, z = make("B"), clips()
    changed = z.clone()
    changed[:, 0] += 1.0
    moved = (module(changed) - module(z)).abs().amax((0, 2, 3)) > 1e-9
    assert moved.tolist() == [True, False, False, True, True, True]


def test_literal_concatenation_permutes_the_frames():
    """With order "concatenate" Z gives frames 1, 3, 5, 2, 4, 6 and B what it always gives; `arrange` says so."""
    z, odd_then_even = clips(), [0, 2, 4, 1, 3, 5]
    zigzag, binary = make("Z", order="concatenate"), make("B", order="concatenate")
    torch.testing.assert_close(zigzag(z), make("Z")(z)[:, odd_then_even])
    torch.testing.assert_close(binary(z), make("B")(z))
    assert torch.equal(zigzag.arrange(z), z[:, odd_then_even])
    assert torch.equal(binary.arrange(z), z)
    assert torch.equal(make("Z").arrange(z), z)


@pytest.mark.parametrize("letter", ["F", "Z", "B", "A"])
def test_frame_weights_are_the_attention_summed_over_a_frames_tokens(letter, by_hand):
    """frame_weights is the softmax of the equations, mean over heads, summed by frame; every row adds up to 1."""
    module, z = make(letter), clips()
    found = module.frame_weights(z, z[:, :, 1:]).detach()
    torch.testing.assert_close(found.sum(-1), torch.ones(B, T, S - 1, dtype=torch.float64))
    for clip, weights in zip(z, found, strict=True):
        expected = torch.full((T, S, T), 1 / T, dtype=torch.float64)
        if letter != "A":
            expected = torch.from_numpy(by_hand.attend(module, letter, clip.numpy(), HEADS)[1])
        torch.testing.assert_close(weights, expected[:, 1:])


@pytest.mark.parametrize(
    "module", [FAttn(D, HEADS, dropout=0.5), ZAttn(D, HEADS, dropout=0.5), BAttn(D, HEADS, dropout=0.5)]
)
def test_dropout_falls_on_weights_in_training_only(module):
    """Attention dropout changes the outputs in training and is gone in eval mode."""
    z = clips().float()
    assert not torch.equal(module.train()(z), module.train()(z))
    assert torch.equal(module.eval()(z), module.eval()(z))


@pytest.mark.parametrize(
    ("module", "message"),
    [
        (
            ZAttn(D, HEADS),
            "5 frames: zigzag attention needs as many odd frames as even ones; give an even number of frames",
        ),
        (BAttn(D, HEADS), "5 frames: binary attention needs two halves of equal length; give an even number of frames"),
    ],
)
def test_an_odd_number_of_frames_is_refused(module, message):
    """Z and B refuse odd t in one line that says why."""
    with pytest.raises(UsageError) as error:
        module.double()(clips(frames=5))
    assert str(error.value) == message


@pytest.mark.parametrize("module", [FAttn(D, HEADS), AverageAttention(D)])
def test_full_attention_and_average_take_any_number_of_frames(module):
    """F and A split nothing, so odd t is fine."""
    assert module.double()(clips(frames=5)).shape == (B, 5, S, D)


def test_an_unknown_letter():
    """The message lists what is known."""
    with pytest.raises(UsageError) as error:
        attention("X", width=D, heads=HEADS, dropout=0.0, share_branches=True, order="restore")
    expected = "'X' is no attention module; known are F (full), Z (zigzag), B (binary), A (average)"
    assert str(error.value) == expected
