"""Tversky loss: by hand, and Dice, which it is for equal prices."""

import pytest
import torch

from openseg_plugin.errors import ConfigError
from openseg_plugin.models.losses import DiceLoss, TverskyLoss

IGNORE = 255


@pytest.mark.parametrize(('alpha', 'beta'), [(0.3, 0.7), (1.0, 0.0)])
@pytest.mark.parametrize('gamma', [1.0, 0.75])
def test_tversky_of_two_pixels_by_hand(alpha, beta, gamma):
    p = torch.tensor([0.75, 0.5], dtype=torch.float64)
    logits = torch.stack([p, 1 - p]).log()[None, :, None]
    # class 0: TP 0.75, FP 0.5, FN 0.25; class 1: TP 0.5, FP 0.25, FN 0.5; smooth 1
    first = 1 - 1.75 / (1.75 + alpha * 0.5 + beta * 0.25)
    second = 1 - 1.5 / (1.5 + alpha * 0.25 + beta * 0.5)
    found = TverskyLoss(alpha, beta, gamma=gamma)(logits, torch.tensor([[[0, 1]]]))
    assert found.item() == pytest.approx((first**gamma + second**gamma) / 2)


def test_equal_prices_are_the_dice_loss():
    logits = torch.randn(2, 4, 5, 7, dtype=torch.float64)
    labels = torch.randint(0, 4, (2, 5, 7))
    labels[:, 0] = IGNORE
    weights = [1.0, 2.0, 0.5, 0.0]
    found = TverskyLoss(0.5, 0.5, smooth=0.5, class_weight=weights)(logits, labels)
    torch.testing.assert_close(found, DiceLoss(smooth=1.0, class_weight=weights)(logits, labels))


def test_images_without_a_label_do_not_count():
    logits = torch.randn(2, 4, 5, 7, requires_grad=True)
    labels = torch.randint(0, 4, (2, 5, 7))
    labels[1] = IGNORE
    found = TverskyLoss(smooth=0.0)(logits, labels)
    torch.testing.assert_close(found, TverskyLoss(smooth=0.0)(logits[:1], labels[:1]))
    found.backward()
    assert torch.isfinite(logits.grad).all() and not logits.grad[1].any()


@pytest.mark.parametrize('options', [dict(alpha=-1), dict(alpha=0, beta=0), dict(gamma=0)])
def test_impossible_prices_are_refused(options):
    with pytest.raises(ConfigError, match='TverskyLoss got alpha='):
        TverskyLoss(**options)
