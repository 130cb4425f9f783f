"""The equations written out, token by token, in plain Python over numpy's float64: what the network is held against."""

from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch


def may_ask(letter, frame, other, frames):
    """Whether a token of `frame` attends to tokens of `other` (frames counted from 1, as in docs/method.md)."""
    if letter == "F":
        return True
    if letter == "Z":
        return (frame % 2 == 1) != (other % 2 == 1)
    return (frame <= frames // 2) != (other <= frames // 2)


def branch(letter, frame, frames):
    """0 for tokens that ask in a′ or b′, 1 for a″ and b″."""
    return {"F": 0, "Z": (frame + 1) % 2, "B": int(frame > frames // 2)}[letter]


def weights(module, which):
    """(W, b) of query, key, value and output of one branch."""
    found = {}
    for name in ("query", "key_value", "output"):
        matrix, bias = (getattr(getattr(module, name), part).detach().double().numpy() for part in ("weight", "bias"))
        found[name] = (matrix[which], bias[which]) if matrix.ndim == 3 else (matrix, bias)
    (matrix, bias), d = found.pop("key_value"), found["query"][0].shape[1]
    found["key"], found["value"] = (matrix[:d], bias[:d]), (matrix[d:], bias[d:])
    return found


def affine(pair, x):
    """W x + b."""
    return pair[0] @ x + pair[1]


def attend(module, letter, z, heads):
    """One module on one clip z (t, s, d), every token at its own frame; also the attention to each frame (t, s, t)."""
    frames, places, d = z.shape
    out, by_frame = np.zeros_like(z), np.zeros((frames, places, frames))
    size = d // heads
    for frame in range(1, frames + 1):
        w = weights(module, branch(letter, frame, frames))
        asked = [
            (o, z[o - 1, p]) for o in range(1, frames + 1) for p in range(places) if may_ask(letter, frame, o, frames)
        ]
        keys = [affine(w["key"], token) for _, token in asked]
        values = [affine(w["value"], token) for _, token in asked]
        for place in range(places):
            query, joined = affine(w["query"], z[frame - 1, place]), np.zeros(d)
            for head in range(heads):
                part = slice(head * size, (head + 1) * size)
                scores = [math.exp(query[part] @ key[part] / math.sqrt(size)) for key in keys]
                for (other, _), score, value in zip(asked, scores, values, strict=True):
                    joined[part] += score / sum(scores) * value[part]
                    by_frame[frame - 1, place, other - 1] += score / sum(scores) / heads
            out[frame - 1, place] = affine(w["output"], joined)
    return out, by_frame


def layer_norm(norm, token):
    """(x − mean) / √(variance + ε) · γ + β of one token."""
    scale, shift = norm.weight.detach().double().numpy(), norm.bias.detach().double().numpy()
    return (token - token.mean()) / np.sqrt(token.var() + norm.eps) * scale + shift


def mlp(module, token):
    """W₂ GELU(W₁ x + b₁) + b₂ of one token."""
    pairs = [
        (m.weight.detach().double().numpy(), m.bias.detach().double().numpy()) for m in (module.widen, module.narrow)
    ]
    hidden = affine(pairs[0], token)
    return affine(pairs[1], np.array([x * 0.5 * (1 + math.erf(x / math.sqrt(2))) for x in hidden]))


def each(function, z):
    """A function of one token, on every token of z (t, s, d)."""
    return np.stack([np.stack([function(token) for token in frame]) for frame in z])


def post_norm_layer(layer, letters, z, heads):
    """docs/method.md, "Layer", on one clip z (t, s, d)."""
    for block, letter in zip(layer.attention, letters, strict=True):
        z = each(lambda x, norm=block.norm: layer_norm(norm, x), attend(block.inner, letter, z, heads)[0] + z)
    return each(lambda x: layer_norm(layer.mlp.norm, x), each(lambda x: mlp(layer.mlp.inner, x), z) + z)


def pre_norm_layer(layer, letters, z, heads):
    """The same with the norm first: z + f(LN(z))."""
    for block, letter in zip(layer.attention, letters, strict=True):
        seen = each(lambda x, norm=block.norm: layer_norm(norm, x), z)
        z = z + attend(block.inner, letter, seen, heads)[0]
    return z + each(lambda x: mlp(layer.mlp.inner, layer_norm(layer.mlp.norm, x)), z)


def fill(network, scale=0.5):
    """Give every parameter values that are the same on every machine and in every version, in float64."""
    numbers = np.random.RandomState(0)
    network.double().eval()
    for _, parameter in sorted(network.named_parameters()):
        values = scale * numbers.standard_normal(tuple(parameter.shape))
        parameter.data = torch.from_numpy(values + (parameter.detach().numpy() if parameter.dim() == 1 else 0))
    return network


@pytest.fixture(scope="session")
def by_hand():
    """The functions above."""
    return SimpleNamespace(
        attend=attend,
        may_ask=may_ask,
        layer_norm=layer_norm,
        each=each,
        affine=affine,
        post=post_norm_layer,
        pre=pre_norm_layer,
        fill=fill,
    )
