import math

import pytest
import torch
import torch.nn.functional as F
from in_one_test import in_one_test

from openseg_plugin.errors import ConfigError
from openseg_plugin.models.losses import CrossEntropyLoss, OHEMCrossEntropyLoss
from openseg_plugin.models.losses.ohem import hard_pixels, ohem_cross_entropy

IGNORE = 255


def sorted_mask(probabilities, counted, *, thresh, min_kept):
    """The definition, word by word: sort, look up, compare."""
    ranked = probabilities[counted].sort().values
    if len(ranked) == 0:
        return counted
    threshold = max(ranked[min(min_kept, len(ranked) - 1)], torch.tensor(thresh))
    return counted & (probabilities < threshold)


def two_class_pixels(probabilities, labels):
    """Logits (1, 2, 1, W) whose probability of class 0 is given, and labels (1, 1, W)."""
    p = torch.tensor(probabilities, dtype=torch.float64)
    return torch.stack([p.log(), (1 - p).log()])[None, :, None], torch.tensor(labels)[None, None]


def inclusive_mask(probabilities, counted, *, thresh, min_kept):
    """pytorch-cv's definition: sort, look up, compare; no mining if there are too few pixels."""
    ranked = probabilities[counted].sort().values
    if min_kept >= len(ranked):
        return counted
    lowest = ranked[min_kept - 1] if min_kept else torch.tensor(0.0)
    return counted & (probabilities <= max(lowest, torch.tensor(thresh)))


@in_one_test('levels', [4, 1000000])
@in_one_test('min_kept', [0, 1, 5, 59, 60, 61, 100000])
@in_one_test('thresh', [0.0, 0.25, 0.5, 0.9])
def test_inclusive_hard_pixels_equals_the_sorted_definition(thresh, min_kept, levels):
    for _ in range(5):
        probabilities = torch.randint(0, levels + 1, (2, 6, 7)) / levels
        counted = torch.rand(2, 6, 7) < 0.7
        options = dict(thresh=thresh, min_kept=min_kept)
        expected = inclusive_mask(probabilities, counted, **options)
        assert torch.equal(hard_pixels(probabilities, counted, inclusive=True, **options), expected)


@in_one_test('levels', [4, 1000000])
@in_one_test('min_kept', [0, 1, 5, 59, 60, 61, 100000])
@in_one_test('thresh', [0.0, 0.25, 0.5, 0.75, 0.9, 1.0])
def test_hard_pixels_equals_the_sorted_definition(thresh, min_kept, levels):
    # few levels: many equal probabilities, also equal to the threshold
    for _ in range(5):
        probabilities = torch.randint(0, levels + 1, (2, 6, 7)) / levels
        counted = torch.rand(2, 6, 7) < 0.7
        expected = sorted_mask(probabilities, counted, thresh=thresh, min_kept=min_kept)
        got = hard_pixels(probabilities, counted, thresh=thresh, min_kept=min_kept)
        assert torch.equal(got, expected)


@pytest.mark.parametrize('number', [0, 1, 2])
def test_hard_pixels_of_almost_no_pixel_equals_the_sorted_definition(number):
    probabilities = torch.rand(1, 1, 3)
    counted = torch.arange(3).view(1, 1, 3) < number
    for thresh in (0.0, 0.5, 1.0):
        expected = sorted_mask(probabilities, counted, thresh=thresh, min_kept=10)
        got = hard_pixels(probabilities, counted, thresh=thresh, min_kept=10)
        assert torch.equal(got, expected)


@in_one_test(
    'thresh, min_kept, kept',
    [
        (0.7, 0, [0.1, 0.3, 0.6]),  # thresh decides
        (0.2, 2, [0.1, 0.3]),  # the third smallest decides, itself not kept
        (0.6, 1, [0.1, 0.3]),  # strictly below thresh
        (0.2, 100, [0.1, 0.3, 0.6]),  # more wanted than there are: all but the easiest
    ],
)
@in_one_test('class_weight', [None, (2.0, 1.0)])
def test_loss_four_pixels_is_the_plain_mean_of_the_kept(thresh, min_kept, kept, class_weight):
    logits, labels = two_class_pixels([0.6, 0.1, 0.9, 0.3], [0, 0, 0, 0])
    factor = 1.0 if class_weight is None else 2.0
    loss = OHEMCrossEntropyLoss(thresh, min_kept, class_weight=class_weight)(logits, labels)
    expected = factor * sum(-math.log(p) for p in kept) / len(kept)
    assert loss.item() == pytest.approx(expected)


@pytest.mark.parametrize('count_first_pixel', [True, False])
def test_loss_ignored_first_pixel_counts_only_in_openseg(count_first_pixel):
    logits, labels = two_class_pixels([0.4, 0.2, 0.3, 0.9], [IGNORE, 0, 0, 0])
    loss = ohem_cross_entropy(
        logits, labels, thresh=0.7, min_kept=1, count_first_pixel=count_first_pixel
    )
    hard = -math.log(0.2) - math.log(0.3)
    assert loss.item() == pytest.approx(hard / (3 if count_first_pixel else 2))


def test_loss_other_ignored_pixels_never_count():
    logits, labels = two_class_pixels([0.2, 0.1, 0.3, 0.9], [0, IGNORE, 0, 0])
    loss = ohem_cross_entropy(logits, labels, thresh=0.7, min_kept=1)
    assert loss.item() == pytest.approx((-math.log(0.2) - math.log(0.3)) / 2)


@pytest.mark.parametrize('count_first_pixel', [True, False])
def test_loss_without_labels_is_zero(count_first_pixel):
    logits = torch.randn(1, 3, 2, 2, requires_grad=True)
    labels = torch.full((1, 2, 2), IGNORE)
    loss = ohem_cross_entropy(logits, labels, count_first_pixel=count_first_pixel)
    loss.backward()
    assert loss.item() == 0
    assert torch.equal(logits.grad, torch.zeros_like(logits))


def test_loss_nothing_hard_is_zero_instead_of_nan():
    logits, labels = two_class_pixels([0.9], [0])
    assert ohem_cross_entropy(logits, labels, thresh=0.5, min_kept=0).item() == 0


def test_loss_gradient_reaches_the_hard_pixels_alone():
    logits, labels = two_class_pixels([0.6, 0.1, 0.9, 0.3], [0, 0, 0, 0])
    logits.requires_grad_()
    ohem_cross_entropy(logits, labels, thresh=0.5, min_kept=0).backward()
    touched = logits.grad.abs().sum(dim=1).flatten() > 0
    assert touched.tolist() == [False, True, False, True]


def test_loss_everything_hard_equals_cross_entropy():
    logits = torch.randn(2, 4, 5, 6)
    labels = torch.randint(0, 4, (2, 5, 6))
    loss = OHEMCrossEntropyLoss(1.0, 0, loss_weight=0.5)(logits, labels)
    torch.testing.assert_close(loss, 0.5 * F.cross_entropy(logits, labels))


def test_loss_one_channel_equals_two_channels_zero_and_z():
    logits, labels = torch.randn(1, 1, 6, 7), torch.randint(0, 2, (1, 6, 7))
    two = torch.cat([torch.zeros_like(logits), logits], dim=1)
    loss = OHEMCrossEntropyLoss(0.6, 5, class_weight=(1.0, 3.0))
    torch.testing.assert_close(loss(logits, labels), loss(two, labels))


def test_loss_names_differ_so_that_logs_tell_the_losses_apart():
    assert OHEMCrossEntropyLoss().loss_name != CrossEntropyLoss().loss_name


def test_class_weight_of_wrong_length_is_refused():
    with pytest.raises(ConfigError, match='class_weight has 2 numbers'):
        OHEMCrossEntropyLoss(class_weight=(1.0, 1.0))(
            torch.randn(1, 3, 1, 1), torch.zeros(1, 1, 1, dtype=torch.long)
        )


def paddleseg_value(logits, labels, *, thresh, min_kept):
    """PaddleSeg's definition, word by word, in numbers of one batch."""
    valid = labels != IGNORE
    probabilities = logits.softmax(1).gather(1, labels.where(valid, 0)[:, None])[:, 0]
    kept = valid
    if min_kept < int(valid.sum()) and min_kept > 0:
        ranked = probabilities[valid].sort().values
        kept = valid & (probabilities < max(ranked[min_kept - 1], torch.tensor(thresh)))
    losses = F.cross_entropy(logits, labels, ignore_index=IGNORE, reduction='none') * kept
    return losses.mean() / (kept.double().mean() + 1e-5)


@in_one_test('min_kept', [0, 1, 5, 40, 59, 60, 61, 1000])
def test_paddlesegs_form_keeps_all_pixels_where_there_are_no_more_than_min_kept(min_kept):
    logits = torch.randn(2, 3, 5, 6, dtype=torch.float64)
    labels = torch.randint(0, 3, (2, 5, 6))
    if min_kept != 60:  # with it, exactly as many as there are
        labels[0, :2] = IGNORE
    expected = paddleseg_value(logits, labels, thresh=0.3, min_kept=min_kept)
    loss = OHEMCrossEntropyLoss(0.3, min_kept, count_first_pixel=False, paddleseg=True)
    assert loss(logits, labels).item() == pytest.approx(expected.item(), rel=1e-12)


def test_paddlesegs_form_of_wholly_ignored_labels_is_zero():
    labels = torch.full((1, 4, 4), IGNORE)
    loss = OHEMCrossEntropyLoss(count_first_pixel=False, paddleseg=True)
    assert loss(torch.randn(1, 3, 4, 4), labels).item() == 0
    with pytest.raises(ConfigError, match='inclusive'):
        OHEMCrossEntropyLoss(inclusive=True, paddleseg=True)
