"""The loss of clips with one label and with several, against its definition."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from star.pipeline.training.losses import class_weights, losses, targets

LOGITS = torch.tensor([[2.0, -1.0, 0.5], [-0.3, 0.2, 1.7]])
SEVERAL = torch.tensor([[1, 0, 1], [0, 1, 0]], dtype=torch.uint8)


def test_several_labels_are_a_question_each() -> None:
    """The mean over the classes of -log of what is given to what is so; smoothing moves targets towards one half."""
    sure = 1 / (1 + np.exp(-LOGITS.double().numpy()))
    for smoothing in (0.0, 0.2):
        wanted = SEVERAL.double().numpy() * (1 - smoothing) + smoothing / 2
        expected = -(wanted * np.log(sure) + (1 - wanted) * np.log(1 - sure)).mean(1)
        found = losses(LOGITS, targets(SEVERAL, 3, smoothing), None, multilabel=True)
        assert found.numpy() == pytest.approx(expected, rel=1e-5)


def test_class_weights_of_several_labels_balance_each_question() -> None:
    """A class of one clip in four counts three times; one without clips once."""
    labels = np.array([[1, 1, 0], [0, 1, 0], [0, 0, 0], [0, 1, 0]], np.uint8)
    weights = class_weights(labels, 3)
    assert weights.tolist() == pytest.approx([3, 1 / 3, 1])
    plain = losses(LOGITS, targets(SEVERAL, 3, 0), None, multilabel=True)
    heavy = losses(LOGITS, targets(SEVERAL, 3, 0), weights, multilabel=True)
    own = -torch.log(torch.sigmoid(LOGITS[0, 0])).item()
    assert (heavy - plain)[0].item() == pytest.approx(2 * own / 3, rel=1e-4)


def test_one_label_is_as_before() -> None:
    labels = torch.tensor([0, 2])
    expected = torch.nn.functional.cross_entropy(LOGITS, labels, label_smoothing=0.1, reduction="none")
    found = losses(LOGITS, targets(labels, 3, 0.1), None, multilabel=False)
    assert found.numpy() == pytest.approx(expected.numpy(), rel=1e-5)
