import math

import pytest
import torch
import torch.nn.functional as F
from in_one_test import in_one_test

from openseg_plugin.errors import ConfigError, DataError
from openseg_plugin.models.losses import CrossEntropyLoss
from openseg_plugin.models.losses.cross_entropy import cross_entropy
from openseg_plugin.registry import MODELS

IGNORE = 255


def pixels(scores, labels):
    """Logits (1, K, 1, W) of a list of K-tuples and labels (1, 1, W)."""
    return torch.tensor(scores).T[None, :, None], torch.tensor(labels)[None, None]


def random_case(classes=5):
    labels = torch.randint(0, classes, (2, 6, 7))
    labels[0, :2] = IGNORE
    return torch.randn(2, classes, 6, 7), labels


@pytest.mark.parametrize(
    'average, class_weight, expected',
    [
        # cross entropies ln 4 (class 0, probability 1/4) and ln 2 (class 1, 1/2); one ignored pixel
        ('valid', None, (math.log(4) + math.log(2)) / 2),
        ('all', None, (math.log(4) + math.log(2)) / 3),
        ('valid', (3.0, 1.0), (3 * math.log(4) + math.log(2)) / 4),
        ('all', (3.0, 1.0), (3 * math.log(4) + math.log(2)) / 3),
    ],
)
def test_cross_entropy_three_pixels_gives_hand_computed_mean(average, class_weight, expected):
    logits, labels = pixels([(0.0, math.log(3)), (1.0, 1.0), (5.0, 0.0)], [0, 1, IGNORE])
    loss = CrossEntropyLoss(class_weight, average=average)
    assert loss(logits, labels, ignore_index=IGNORE).item() == pytest.approx(expected)


@pytest.mark.parametrize('class_weight', [None, (1.0, 0.5, 2.0, 1.0, 3.0)])
def test_cross_entropy_valid_average_equals_torch(class_weight):
    logits, labels = random_case()
    logits.requires_grad_()
    weight = None if class_weight is None else torch.tensor(class_weight)
    expected = F.cross_entropy(logits, labels, weight=weight, ignore_index=IGNORE)
    got = CrossEntropyLoss(class_weight)(logits, labels)
    torch.testing.assert_close(got, expected)
    for actual, wanted in zip(
        torch.autograd.grad(got, logits), torch.autograd.grad(expected, logits)
    ):
        torch.testing.assert_close(actual, wanted)


@pytest.mark.parametrize('average', ['valid', 'all'])
@pytest.mark.parametrize('class_weight', [None, (1.0, 2.5)])
def test_cross_entropy_one_channel_equals_two_channels_zero_and_z(average, class_weight):
    logits, labels = torch.randn(2, 1, 6, 7), random_case(2)[1]
    loss = CrossEntropyLoss(class_weight, average=average)
    two = torch.cat([torch.zeros_like(logits), logits], dim=1)
    torch.testing.assert_close(loss(logits, labels), loss(two, labels))


@in_one_test('channels', [1, 2, 5])
@in_one_test('average', ['valid', 'all'])
def test_cross_entropy_without_labels_is_zero_with_zero_gradient(channels, average):
    logits = torch.randn(1, channels, 2, 3, requires_grad=True)
    loss = CrossEntropyLoss(average=average)(logits, torch.full((1, 2, 3), IGNORE))
    loss.backward()
    assert loss.item() == 0
    assert torch.equal(logits.grad, torch.zeros_like(logits))


@pytest.mark.parametrize('channels', [1, 5])
def test_cross_entropy_ignored_pixels_have_no_gradient(channels):
    labels = random_case(2)[1]
    logits = torch.randn(2, channels, 6, 7, requires_grad=True)
    CrossEntropyLoss()(logits, labels).backward()
    touched = logits.grad.abs().sum(dim=1) > 0
    assert torch.equal(touched, labels != IGNORE)


def test_cross_entropy_other_ignore_index_is_obeyed():
    logits, labels = random_case()
    expected = cross_entropy(logits, labels, ignore_index=IGNORE)
    renamed = labels.where(labels != IGNORE, -1)
    torch.testing.assert_close(cross_entropy(logits, renamed, ignore_index=-1), expected)


@pytest.mark.parametrize('average', ['valid', 'all'])
def test_cross_entropy_pixel_weight_scales_the_loss_and_not_the_divisor(average):
    logits, labels = random_case()
    weight = torch.full(labels.shape, 2.0)
    plain = cross_entropy(logits, labels, average=average)
    torch.testing.assert_close(
        cross_entropy(logits, labels, average=average, weight=weight), 2 * plain
    )


def test_cross_entropy_half_precision_is_computed_in_float32():
    logits, labels = random_case()
    loss = cross_entropy(logits.bfloat16(), labels)
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, cross_entropy(logits.bfloat16().float(), labels))


@pytest.mark.parametrize('loss_weight', [1.0, 0.4])
def test_loss_weight_scales_the_result(loss_weight):
    logits, labels = random_case()
    got = CrossEntropyLoss(loss_weight=loss_weight)(logits, labels)
    torch.testing.assert_close(got, loss_weight * cross_entropy(logits, labels))


def test_loss_is_built_from_a_config_and_adds_nothing_to_the_state_dict():
    loss = MODELS.build(
        dict(type='openseg_plugin.CrossEntropyLoss', class_weight=[1.0, 2.0], loss_name='loss_x')
    )
    assert loss.loss_name == 'loss_x'
    assert loss.state_dict() == {}


def test_one_channel_label_above_one_is_refused():
    with pytest.raises(DataError, match=r'class 3.*one output channel'):
        CrossEntropyLoss()(torch.randn(1, 1, 1, 2), torch.tensor([[[0, 3]]]))


@pytest.mark.parametrize('channels, weights', [(3, (1.0, 1.0)), (1, (1.0,))])
def test_class_weight_of_wrong_length_is_refused(channels, weights):
    labels = torch.zeros(1, 1, 1, dtype=torch.long)
    with pytest.raises(ConfigError, match=f'class_weight has {len(weights)} numbers'):
        CrossEntropyLoss(weights)(torch.randn(1, channels, 1, 1), labels)


def test_unknown_average_is_refused():
    with pytest.raises(ConfigError, match=r'average=.mean.'):
        CrossEntropyLoss(average='mean')
