"""`star pretrain`: a network that finds hidden tokens of cached clips, and what `star train` makes of it."""

import json
from dataclasses import replace

import pytest
import torch

from star.errors import RecipeError, UsageError
from star.pipeline.training import checkpoint
from star.pipeline.training.initial_weights import Start
from star.pipeline.training.model_factory import load
from star.pipeline.training.pretrain import PretrainTraining, check, without_classes
from star.pipeline.training.trainer import train


def go(toy, toys, run, *overrides, **more):
    """Pretrain the toy recipe with these overrides."""
    recipe = toy.recipe(*overrides)
    check(recipe)
    return train(recipe, *toys, run, device="cpu", progress=False, kind=PretrainTraining, **more)


def weights(run, which="last"):
    return checkpoint.read(run / which / "weights.safetensors")[0]


def test_it_learns(toy, toys, tmp_path):
    """What is hidden is found better than by a network that knows nothing, whose error is 1; best is the lowest."""
    summary = go(toy, toys, tmp_path, "train.epochs=12", "train.learning_rate=3e-3")
    lines = (tmp_path / "metrics.jsonl").read_text().splitlines()
    losses = [json.loads(line)["test_loss"] for line in lines]
    assert losses[-1] < 0.8 * losses[0]
    assert summary["best"]["test_loss"] == min(losses)
    assert "top1" not in summary["best"]


def test_no_label_is_read(toy, toys, tmp_path):
    """Other labels, the same bits."""
    wrong = tuple(
        replace(part, videos=[replace(video, label=(video.label + 1) % 3) for video in part.videos]) for part in toys
    )
    go(toy, toys, tmp_path / "right")
    go(toy, wrong, tmp_path / "wrong")
    one, other = weights(tmp_path / "right"), weights(tmp_path / "wrong")
    assert all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("more", [(), ("train.ema=0.9", "train.accumulate=2", "model.standardize=true")])
def test_a_stopped_run_goes_on_bit_for_bit(toy, toys, tmp_path, more):
    """2 epochs and 2 more are 4."""
    go(toy, toys, tmp_path / "straight", "train.epochs=4", *more)
    go(toy, toys, tmp_path / "stopped", "train.epochs=2", *more)
    go(toy, toys, tmp_path / "stopped", "train.epochs=4", *more, resume=True)
    for file in ("last/state.safetensors", "last/weights.safetensors"):
        (one, _), (other, _) = (checkpoint.read(tmp_path / run / file) for run in ("straight", "stopped"))
        assert one.keys() == other.keys()
        assert all(torch.equal(one[name], other[name]) for name in one)


def test_star_train_begins_with_it(toy, toys, tmp_path):
    """--init takes all but the head, which stays random; a run without it is another one."""
    go(toy, toys, tmp_path / "first")
    still = ("train.epochs=1", "train.optimizer=sgd", "train.learning_rate=1e-12")
    train(toy.recipe(*still), *toys, tmp_path / "next", device="cpu", progress=False, start=Start(tmp_path / "first"))
    begun, taken = weights(tmp_path / "first"), weights(tmp_path / "next")
    assert begun.keys() == taken.keys()
    for name in begun:
        torch.testing.assert_close(taken[name], begun[name], rtol=0, atol=1e-9)
    with pytest.raises(UsageError, match=r"a run of `star pretrain`, which knows no classes; `star train --init"):
        load(tmp_path / "first", "last")


@pytest.mark.parametrize(
    ("override", "told"),
    [
        ("train.compile=true", "train.compile: true: star pretrain compiles nothing; set it to false"),
        ("tokens.form=concat_conv", "tokens.form: concat_conv: its tokens are learned, so they cannot be what is to"),
    ],
)
def test_what_cannot_be_done_is_refused(toy, override, told):
    """One line that names it."""
    with pytest.raises(RecipeError) as caught:
        check(toy.recipe(override))
    assert str(caught.value).startswith(told)


def test_one_recipe_serves_both_commands(toy):
    """What is about classes is taken out and named; the rest of `train` stays."""
    given = toy.recipe("train.label_smoothing=0.1", "train.augment.mixup=0.2", "train.augment.shift=0.1")
    plain, unused = without_classes(given)
    assert unused == ("train.augment.mixup", "train.label_smoothing")
    assert (plain.train.label_smoothing, plain.train.augment.mixup, plain.train.augment.shift) == (0, 0, 0.1)
    assert without_classes(plain) == (plain, ())
