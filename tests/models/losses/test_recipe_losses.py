"""Image-weighted and bootstrapped cross entropy, dice, relaxed boundaries: by hand, and edges."""

import math

import pytest
import torch
import torch.nn.functional as F
from in_one_test import in_one_test

from openseg_plugin.errors import ConfigError
from openseg_plugin.models.losses import (
    BootstrappedCrossEntropyLoss,
    BoundaryRelaxedLoss,
    DiceLoss,
    FocalLoss,
    ImageWeightedCrossEntropyLoss,
    LovaszLoss,
    TverskyLoss,
)
from openseg_plugin.models.losses.image_weighted import class_weights_of, relaxed_target

IGNORE = 255
ALL = [
    ImageWeightedCrossEntropyLoss,
    BootstrappedCrossEntropyLoss,
    DiceLoss,
    BoundaryRelaxedLoss,
    FocalLoss,
    LovaszLoss,
    TverskyLoss,
]


def maps(classes=4, size=(9, 11), batch=2):
    labels = torch.randint(0, classes, (batch, *size))
    labels[:, :2] = IGNORE
    return torch.randn(batch, classes, *size, dtype=torch.float64, requires_grad=True), labels


@in_one_test('loss', ALL)
def test_loss_weight_and_gradient(loss):
    logits, labels = maps()
    value = loss()(logits, labels)
    torch.testing.assert_close(loss(loss_weight=3.0)(logits, labels), 3 * value)
    value.backward()
    assert torch.isfinite(logits.grad).all()
    # ignored; the second row has labelled neighbors, which count where boundaries are relaxed
    assert logits.grad[:, :, :1].abs().max() == 0


@in_one_test('loss', ALL)
def test_loss_without_a_label_is_zero(loss):
    logits, labels = maps()
    labels[:] = IGNORE
    assert loss()(logits, labels).item() == pytest.approx(0.0, abs=1e-6)


@in_one_test('loss', ALL)
def test_loss_of_half_precision_is_float32(loss):
    logits, labels = maps()
    found = loss()(logits.detach().bfloat16(), labels)
    assert found.dtype == torch.float32


@pytest.mark.parametrize('bound, expected', [(1.0, [1.25, 1.75, 1.0]), (2.0, [1.5, 2.5, 1.0])])
def test_class_weights_are_one_plus_the_missing_fraction(bound, expected):
    labels = torch.tensor([0, 0, 0, 1, IGNORE])
    assert class_weights_of(labels, 3, upper_bound=bound).tolist() == expected


def test_class_weights_inverse_are_one_plus_the_inverse_fraction():
    labels = torch.tensor([0, 0, 0, 1, IGNORE])
    found = class_weights_of(labels, 3, inverse=True)
    torch.testing.assert_close(found, torch.tensor([1 + 4 / 3, 5.0, 1.0]))


def test_image_weighted_loss_adds_the_weighted_means_of_the_images():
    logits, labels = maps()
    weights = class_weights_of(labels, 4).double()
    expected = sum(
        F.cross_entropy(logits[i : i + 1], labels[i : i + 1], weights, ignore_index=IGNORE)
        for i in range(2)
    )
    torch.testing.assert_close(ImageWeightedCrossEntropyLoss()(logits, labels), expected)


@in_one_test(
    ('min_kept', 'thresh', 'kept'),
    [(2, 0.0, 4), (2, 1.0, 2), (3, 1.0, 3), (3, 0.5, 3), (100, 9.0, 6)],
)
def test_bootstrapped_keeps_what_is_above_the_threshold_or_the_hardest(min_kept, thresh, kept):
    losses = [2.0, 1.2, 0.6, 0.1, 0.0, 0.0]  # the last two are ignored
    p = torch.tensor([math.exp(-x) for x in losses], dtype=torch.float64)
    logits = torch.stack([p.log(), (1 - p).clamp(min=1e-300).log()])[None, :, None]
    labels = torch.tensor([0, 0, 0, 0, IGNORE, IGNORE])[None, None]
    found = BootstrappedCrossEntropyLoss(min_kept, thresh)(logits, labels)
    assert found.item() == pytest.approx(sum(losses[:kept]) / kept)


def test_bootstrapped_class_weights_do_not_change_the_divisor():
    logits, labels = maps()
    plain = BootstrappedCrossEntropyLoss(10, 0.5)(logits, labels)
    same = BootstrappedCrossEntropyLoss(10, 0.5, class_weight=[1.0] * 4)(logits, labels)
    torch.testing.assert_close(same, plain)
    with pytest.raises(ConfigError, match='class_weight has 3'):
        BootstrappedCrossEntropyLoss(class_weight=[1.0] * 3)(logits, labels)


@pytest.mark.parametrize('smooth', [0.0, 1.0, 5.0])
def test_dice_of_one_pixel_per_class_by_hand(smooth):
    p = torch.tensor([0.75, 0.25], dtype=torch.float64)
    logits = torch.stack([p, 1 - p]).log()[None, :, None]  # two pixels, labels 0 and 1
    found = DiceLoss(smooth)(logits, torch.tensor([[[0, 1]]]))
    assert found.item() == pytest.approx(1 - (2 * 0.75 + smooth) / (2 + smooth))


def test_dice_leaves_the_labels_as_they_are():
    logits, labels = maps()
    before = labels.clone()
    DiceLoss()(logits, labels)
    assert torch.equal(labels, before)


def test_dice_of_one_channel_is_that_of_two():
    logits, labels = maps(classes=1)
    labels[:, 4:] = 1
    two = torch.cat([torch.zeros_like(logits), logits], 1)
    torch.testing.assert_close(DiceLoss()(logits, labels), DiceLoss()(two, labels))


def test_relaxed_target_marks_the_neighbors_classes():
    labels = torch.tensor([[[0, 0, 1, 1, IGNORE]]])
    target = relaxed_target(labels, 2)
    assert target[0, 0].tolist() == [[1, 1, 1, 0, 0]]
    assert target[0, 1].tolist() == [[0, 1, 1, 1, 1]]
    assert relaxed_target(labels, 2, strict_classes=[1])[0, 0].tolist() == [[1, 1, 0, 0, 0]]
    assert relaxed_target(labels, 2, border=0)[0, 1].tolist() == [[0, 0, 1, 1, 0]]
    sharp = relaxed_target(labels, 2, sharp=True)
    assert sharp[0, 0].tolist() == [[1, 2, 0, 0, 0]]
    assert sharp[0, 1].tolist() == [[0, 0, 2, 2, 0]]


def test_relaxed_loss_does_not_mind_which_of_two_neighbors_is_predicted():
    labels = torch.zeros(1, 6, 6, dtype=torch.long)
    labels[..., 3:] = 1
    loss = BoundaryRelaxedLoss(upper_bound=0.0)
    logits = 8.0 * F.one_hot(labels, 3).permute(0, 3, 1, 2).double()
    moved = 8.0 * F.one_hot(labels.roll(1, -1), 3).permute(0, 3, 1, 2).double()
    moved[..., 0] = logits[..., 0]
    torch.testing.assert_close(loss(moved, labels), loss(logits, labels), atol=1e-3, rtol=0)


def test_relaxed_loss_of_a_batch_is_the_sum_of_its_images():
    logits, labels = maps()
    for inverse in (False, True):
        loss = BoundaryRelaxedLoss(inverse=inverse)
        parts = [loss(logits[i : i + 1], labels[i : i + 1]) for i in range(2)]
        torch.testing.assert_close(loss(logits, labels), sum(parts))


def test_impossible_options_are_refused():
    with pytest.raises(ConfigError, match='border=-1'):
        BoundaryRelaxedLoss(-1)
    with pytest.raises(ConfigError, match='upper_bound=-1'):
        ImageWeightedCrossEntropyLoss(-1)


@in_one_test('loss', ALL)
def test_pixel_weights_that_would_have_no_effect_are_refused(loss):
    logits, labels = maps()
    with pytest.raises(ConfigError, match='weight per pixel'):
        loss()(logits, labels, torch.ones(2, 9, 11))


@in_one_test('loss', ALL)
def test_misspelt_option_is_refused(loss):
    with pytest.raises(TypeError, match='loss_wieght'):
        loss(loss_wieght=2.0)
