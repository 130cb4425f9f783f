"""`star train --init RUN`: another run's weights, also for other classes; `--freeze` trains the head alone."""

from dataclasses import replace

import pytest
import torch

from star.errors import UsageError, WeightsError
from star.pipeline.training import checkpoint
from star.pipeline.training.initial_weights import Start
from star.pipeline.training.trainer import train

STILL = ("train.optimizer=sgd", "train.learning_rate=1e-30", "train.epochs=1")


@pytest.fixture(scope="module")
def source(toy, tmp_path_factory):
    """(run folder, its selections): trained on three classes, standardised."""
    folder = tmp_path_factory.mktemp("source")
    toys = toy.build(folder / "cache")
    train(toy.recipe("model.standardize=true"), *toys, folder / "run", device="cpu", progress=False)
    return folder / "run", toys


def go(toy, toys, run, *overrides, **more):
    recipe = toy.recipe("model.standardize=true", *overrides)
    return train(recipe, *toys, run, device="cpu", progress=False, **more)


def weights(run):
    return checkpoint.read(run / "last" / "weights.safetensors")[0]


def other_classes(toys):
    """The same clips with two classes in place of three: bowing, and everything else."""
    return [
        replace(part, classes=("bow", "other"), videos=[replace(v, label=min(v.label, 1)) for v in part.videos])
        for part in toys
    ]


def test_the_weights_are_the_other_runs(toy, source, tmp_path):
    """With a rate of next to nothing the network is the source's, head and statistics included."""
    run, toys = source
    go(toy, toys, tmp_path / "new", *STILL, "train.seed=5", start=Start(run))
    found = weights(tmp_path / "new")
    assert all(torch.allclose(tensor, found[name]) for name, tensor in weights(run).items())


def test_a_frozen_network_learns_other_classes_by_its_head_alone(toy, source, tmp_path):
    """All else stays to the bit, also what is averaged; the head's last layer is new, and learns."""
    run, toys = source
    summary = go(toy, other_classes(toys), tmp_path / "new", "train.epochs=8", "train.ema=0.5",
                 start=Start(run, freeze=True))  # fmt: skip
    before, after = weights(run), weights(tmp_path / "new")
    changed = {name for name in after if before[name].shape != after[name].shape or not before[name].equal(after[name])}
    assert {name.partition(".")[0] for name in changed} == {"head"}
    assert any(tensor.shape[0] == 2 for name, tensor in after.items() if name.startswith("head."))
    assert summary["best"]["top1"] > 0.7


def test_without_freezing_all_is_trained(toy, source, tmp_path):
    """From where the other run stood."""
    run, toys = source
    go(toy, other_classes(toys), tmp_path / "new", "train.epochs=1", start=Start(run))
    before, after = weights(run), weights(tmp_path / "new")
    moved = [name for name in before if name.startswith("encoder.") and not before[name].equal(after[name])]
    assert moved
    assert all((before[name] - after[name]).abs().max() < 0.1 for name in moved)


def test_a_network_that_does_not_fit_is_one_line(toy, source, tmp_path):
    """Which part, and what the recipe needs."""
    run, toys = source
    with pytest.raises(
        WeightsError, match=r"^--init .*weights.safetensors: .* is .*, this network's is .*; give the re"
    ):
        go(toy, toys, tmp_path / "new", "model.width=32", start=Start(run))


def test_a_run_goes_on_as_it_began(toy, source, tmp_path):
    """--freeze must be named again, --init need not; another --init is refused. The head trains on to the same bits."""
    run, toys = source
    begun = Start(run, freeze=True)
    go(toy, toys, tmp_path / "whole", "train.epochs=2", "train.optimizer=sgd", start=begun)
    go(toy, toys, tmp_path / "new", "train.epochs=1", "train.optimizer=sgd", start=begun)
    longer = ("train.epochs=2", "train.optimizer=sgd")
    with pytest.raises(UsageError, match=r"new: began with --freeze; --resume goes on as it began"):
        go(toy, toys, tmp_path / "new", *longer, resume=True)
    with pytest.raises(UsageError, match=r"began with --init .*, now .*elsewhere; leave it out to go on"):
        go(toy, toys, tmp_path / "new", *longer, resume=True, start=Start(tmp_path / "elsewhere", freeze=True))
    go(toy, toys, tmp_path / "new", *longer, resume=True, start=Start(freeze=True))
    whole, resumed = weights(tmp_path / "whole"), weights(tmp_path / "new")
    assert all(tensor.equal(resumed[name]) for name, tensor in whole.items())


def test_freezing_a_random_network_is_refused(toy, source, tmp_path):
    """One line that names the other option."""
    with pytest.raises(
        UsageError, match=r"^train --freeze: keeps the weights of another run as they are; name it with"
    ):
        go(toy, source[1], tmp_path / "run", start=Start(freeze=True))
