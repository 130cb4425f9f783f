"""Learning rates, weight decay, averages, and how an epoch is cut."""

import numpy as np
import pytest
import torch
from torch.optim.lr_scheduler import CosineAnnealingLR, OneCycleLR

from star.pipeline.recipe import schema as recipes
from star.pipeline.training.distributed import ProcessGroup
from star.pipeline.training.losses import class_weights, targets
from star.pipeline.training.optimizer import WeightAverage, decayed, make_optimizer, rate
from star.pipeline.training.sampler import portions, steps_of
from star.stages.transformer import STARTransformer

SMALL = {"width": 8, "heads": 2, "encoder_layers": 1, "decoder_layers": 1, "grid_channels": 4, "grid_cells": 4}


def network(**more):
    torch.manual_seed(0)
    return STARTransformer(classes=3, joints=2, frames=4, joint_channels=9, **SMALL, **more)


def rates(steps, **asked):
    return [rate(step, steps, recipes.TrainSettings(**asked)) for step in range(steps)]


def torch_rates(make, steps):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.5)
    scheduler, found = make(optimizer), []
    for _ in range(steps):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return found


@pytest.mark.parametrize("warmup", [0.0, 0.1])
def test_onecycle_is_torchs(warmup):
    """The one-cycle rates are those of OneCycleLR; without a warm-up its 30 % stand."""
    expected = torch_rates(lambda o: OneCycleLR(o, 0.5, 60, pct_start=warmup or 0.3, cycle_momentum=False), 60)
    assert rates(60, learning_rate=0.5, schedule="onecycle", warmup=warmup) == pytest.approx(expected)


def test_cosine_is_torchs():
    """Cosine annealing to zero."""
    assert rates(40, learning_rate=0.5, schedule="cosine") == pytest.approx(
        torch_rates(lambda o: CosineAnnealingLR(o, 40), 40)
    )


def test_warm_up_is_linear():
    """The warm-up reaches the full rate on its last step, then the schedule begins."""
    found = rates(20, learning_rate=1.0, schedule="constant", warmup=0.2)
    assert found[:5] == pytest.approx([0.25, 0.5, 0.75, 1, 1])
    assert found[4:] == [1.0] * 16
    assert rates(20, learning_rate=1.0, schedule="cosine", warmup=0.2)[4] == 1.0


@pytest.mark.parametrize("share", [True, False])
def test_only_matrices_decay(share):
    """Weight decay falls on the matrices of linear layers, not on biases, norms, class tokens and positions."""
    free = {name for name, _, decay in decayed(network(share_branches=share, position="all")) if not decay}
    everything = {name for name, _ in network(share_branches=share, position="all").named_parameters()}
    assert {name for name in everything - free if not name.endswith("weight")} == set()
    assert {"tokens.cls_global", "tokens.grid.position", "tokens.joints.position"} <= free
    assert {name for name in everything if name.endswith("bias") or ".norm." in name} <= free


@pytest.mark.parametrize("kind", ["sgd", "adamw"])
def test_optimizer_has_the_recipes_numbers(kind):
    """Two groups: decay and none."""
    optimizer = make_optimizer(network(), recipes.TrainSettings(optimizer=kind, learning_rate=0.1, weight_decay=0.3))
    assert [group["weight_decay"] for group in optimizer.param_groups] == [0.3, 0.0]
    assert {group["lr"] for group in optimizer.param_groups} == {0.1}
    assert optimizer.param_groups[0].get("momentum", 0.9) == 0.9


def test_average_is_the_recursion():
    """EMA: average = d · average + (1 - d) · weights, with d held low in the first steps."""
    model = network()
    average = WeightAverage(model, 0.9)
    expected = [p.detach().clone() for p in model.parameters()]
    for step in range(200):
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(0.01)
        average.update(model, step)
        d = min(0.9, (1 + step) / (10 + step))
        expected = [d * e + (1 - d) * p.detach() for e, p in zip(expected, model.parameters(), strict=True)]
    for mine, theirs in zip(average.model.parameters(), expected, strict=True):
        torch.testing.assert_close(mine, theirs)


def test_targets_are_torchs_label_smoothing():
    """Cross-entropy with these targets is torch's own label smoothing."""
    torch.manual_seed(0)
    logits, labels = torch.randn(6, 4), torch.tensor([0, 1, 2, 3, 3, 0])
    expected = torch.nn.functional.cross_entropy(logits, labels, label_smoothing=0.1)
    torch.testing.assert_close(torch.nn.functional.cross_entropy(logits, targets(labels, 4, 0.1)), expected)


def test_class_weights_even_out_classes():
    """Each class with clips weighs the same in total, the mean over clips is 1."""
    labels = np.array([0, 0, 0, 1, 3, 3])
    weight = class_weights(labels, 4)
    assert weight.tolist() == pytest.approx([6 / 9, 2.0, 0.0, 1.0])
    assert weight[labels].mean().item() == pytest.approx(1)


@pytest.mark.parametrize("size", [1, 2, 3])
@pytest.mark.parametrize(("batch", "accumulate"), [(4, 1), (4, 3), (1, 1), (5, 2)])
def test_portions_share_out_every_clip_once(size, batch, accumulate):
    """Over all processes each clip counts once; a step's weights add up to 1; all processes step together."""
    order = np.random.default_rng(0).permutation(22)
    by_rank = [list(portions(order, batch, accumulate, ProcessGroup(rank, size))) for rank in range(size)]
    assert len({tuple(p.steps for p in own) for own in by_rank}) == 1
    assert sum(p.steps for p in by_rank[0]) == steps_of(22, batch, accumulate)
    seen = [clip for own in by_rank for p in own if p.weight for clip in p.clips]
    assert sorted(seen) == list(range(22))
    totals, total = [], 0.0
    for together in zip(*by_rank, strict=True):
        total += sum(p.weight * len(p.clips) for p in together)
        if together[0].steps:
            totals.append(total)
            total = 0.0
    assert totals == pytest.approx([1.0] * len(totals))
