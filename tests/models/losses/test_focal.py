"""Focal loss: by hand, and as the cross entropy that it is for gamma 0."""

import math

import pytest
import torch

from openseg_plugin.errors import ConfigError
from openseg_plugin.models.losses import CrossEntropyLoss, FocalLoss

IGNORE = 255


def two_pixels(*probabilities):
    """Logits (1, 2, 1, P) whose softmax gives class 0 these probabilities."""
    p = torch.tensor(probabilities, dtype=torch.float64)
    return torch.stack([p, 1 - p]).log()[None, :, None]


@pytest.mark.parametrize('gamma', [0.5, 1.0, 2.0])
def test_focal_loss_of_two_pixels_by_hand(gamma):
    found = FocalLoss(gamma)(two_pixels(0.75, 0.4), torch.tensor([[[0, 1]]]))
    expected = (0.25**gamma * -math.log(0.75) + 0.4**gamma * -math.log(0.6)) / 2
    assert found.item() == pytest.approx(expected)


def test_class_weights_enter_sum_and_divisor():
    loss = FocalLoss(2.0, class_weight=[3.0, 1.0])
    found = loss(two_pixels(0.75, 0.4), torch.tensor([[[0, 1]]]))
    expected = (3 * 0.25**2 * -math.log(0.75) + 0.4**2 * -math.log(0.6)) / 4
    assert found.item() == pytest.approx(expected)


@pytest.mark.parametrize('channels', [1, 2, 5])
def test_gamma_0_is_the_cross_entropy(channels):
    logits = torch.randn(2, channels, 5, 7, dtype=torch.float64)
    labels = torch.randint(0, max(2, channels), (2, 5, 7))
    labels[1] = IGNORE
    weights = torch.rand(max(2, channels)).tolist()
    found = FocalLoss(0.0, class_weight=weights)(logits, labels)
    torch.testing.assert_close(found, CrossEntropyLoss(weights)(logits, labels))


@pytest.mark.parametrize('gamma', [0.5, 2.0])
def test_gradient_of_sure_pixels_is_finite(gamma):
    logits = torch.tensor([[[[200.0, 0.0]], [[0.0, 200.0]]]], requires_grad=True)
    FocalLoss(gamma)(logits, torch.tensor([[[0, 1]]])).backward()
    assert torch.isfinite(logits.grad).all()


def test_negative_gamma_is_refused():
    with pytest.raises(ConfigError, match='gamma=-1'):
        FocalLoss(-1)
