"""Lovasz-softmax: by hand, and the intersection over union that it extends."""

import pytest
import torch

from openseg_plugin.errors import ConfigError, DataError
from openseg_plugin.models.losses import LovaszLoss
from openseg_plugin.models.losses.lovasz import jaccard_steps

IGNORE = 255


def logits_of(probabilities):
    """Logits (1, 2, 1, P) whose softmax gives class 1 these probabilities."""
    p = torch.tensor(probabilities, dtype=torch.float64)
    return torch.stack([1 - p, p]).log()[None, :, None]


def test_jaccard_steps_by_hand():
    # of two pixels of the class one goes wrong, then another's, then the second
    found = jaccard_steps(torch.tensor([True, False, True]), torch.float64)
    torch.testing.assert_close(found, torch.tensor([1 / 2, 1 / 6, 1 / 3], dtype=torch.float64))


@pytest.mark.parametrize(
    ('weights', 'expected'),
    # errors of class 1, sorted: 0.6, 0.3, 0.1 times 1/2, 1/6, 1/3; of class 0: times 1/2, 1/2, 0
    [(None, (0.45 + 0.38333333333) / 2), ([2.0, 0.5], (0.9 + 0.19166666667) / 2)],
)
def test_lovasz_of_three_pixels_by_hand(weights, expected):
    labels = torch.tensor([[[1, 1, 0]]])
    found = LovaszLoss(class_weight=weights)(logits_of([0.9, 0.4, 0.3]), labels)
    assert found.item() == pytest.approx(expected)


def test_hard_predictions_lose_one_minus_the_iou_of_the_classes_that_are_there():
    predicted = torch.tensor([[[0, 0, 1, 1, 2, 2]]])
    labels = torch.tensor([[[0, 1, 1, 1, 0, IGNORE]]])
    logits = 1000.0 * torch.nn.functional.one_hot(predicted, 3).permute(0, 3, 1, 2)
    # class 0: 1 of 3 pixels; class 1: 2 of 3; class 2 has no label
    assert LovaszLoss()(logits, labels).item() == pytest.approx(1 - (1 / 3 + 2 / 3) / 2)
    # class 2 is predicted at one labelled pixel: nothing of it is right
    found = LovaszLoss(classes='all')(logits, labels)
    assert found.item() == pytest.approx((2 / 3 + 1 / 3 + 1) / 3)


def test_per_image_is_the_mean_of_the_images_that_have_a_label():
    torch.manual_seed(0)
    logits = torch.randn(3, 4, 3, 5, dtype=torch.float64)
    labels = torch.randint(0, 4, (3, 3, 5))
    labels[1] = IGNORE
    alone = [LovaszLoss()(logits[i : i + 1], labels[i : i + 1]) for i in (0, 2)]
    found = LovaszLoss(per_image=True)(logits, labels)
    torch.testing.assert_close(found, torch.stack(alone).mean())
    assert not torch.isclose(found, LovaszLoss()(logits, labels))


def test_one_channel_is_two_classes():
    logits = torch.randn(2, 1, 3, 5)
    labels = torch.randint(0, 2, (2, 3, 5))
    both = torch.cat([torch.zeros_like(logits), logits], dim=1)
    torch.testing.assert_close(LovaszLoss()(logits, labels), LovaszLoss()(both, labels))


def test_gradient_lowers_the_loss():
    torch.manual_seed(0)
    logits = torch.randn(2, 3, 4, 6, requires_grad=True)
    labels = torch.randint(0, 3, (2, 4, 6))
    before = LovaszLoss()(logits, labels)
    (gradient,) = torch.autograd.grad(before, logits)
    assert LovaszLoss()(logits - gradient, labels) < before


def test_unknown_classes_are_refused():
    with pytest.raises(ConfigError, match="classes='some'"):
        LovaszLoss(classes='some')


@pytest.mark.parametrize('wrong', [3, 200, -1])
@pytest.mark.parametrize('per_image', [False, True])
def test_label_that_is_no_class_is_refused(wrong, per_image):
    loss = LovaszLoss(per_image=per_image)
    for labels in ([[0, 2, wrong, IGNORE]], [[wrong, wrong, IGNORE, IGNORE]]):
        with pytest.raises(DataError, match=f'hold class {wrong}, but the model tells 3 classes'):
            loss(torch.randn(1, 3, 1, 4), torch.tensor([labels]))
