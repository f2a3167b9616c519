"""Region mutual information: the definition, and what would break a plain implementation."""

import math

import pytest
import torch
import torch.nn.functional as F
from in_one_test import in_one_test

from openseg_plugin.errors import ConfigError
from openseg_plugin.models.losses import RMILoss
from openseg_plugin.models.losses.rmi import region_mutual_information, rmi_loss

IGNORE = 255


def maps(classes=3, size=(17, 22), batch=2):
    labels = torch.randint(0, classes, (batch, *size))
    labels[:, :2] = IGNORE
    return torch.randn(batch, classes, *size, dtype=torch.float64), labels


def definition(y, p, *, radius, ridge):
    """log det of what is unexplained, one matrix after the other; inverse and slogdet."""
    total = 0.0
    for n in range(y.shape[0]):
        for k in range(y.shape[1]):
            a, b = (F.unfold(x[n : n + 1, k : k + 1], radius)[0] for x in (y, p))
            a, b = a - a.mean(1, keepdim=True), b - b.mean(1, keepdim=True)
            eye = torch.eye(radius**2, dtype=y.dtype)
            rest = a @ a.T - a @ b.T @ torch.linalg.inv(b @ b.T + ridge * eye) @ b @ a.T
            total += 0.5 * torch.linalg.slogdet(rest + ridge * eye)[1].item()
    return total / y.shape[0] / radius**2


@pytest.mark.parametrize('ridge', [5e-4, 1e-2])
@pytest.mark.parametrize('radius', [2, 3])
def test_mutual_information_is_the_log_determinant_of_the_definition(radius, ridge):
    y = torch.rand(2, 3, 9, 11, dtype=torch.float64)
    p = torch.rand(2, 3, 9, 11, dtype=torch.float64)
    found = region_mutual_information(p, y, radius=radius, ridge=ridge, pool_stride=1)
    expected = definition(y, p, radius=radius, ridge=ridge)
    assert found.item() == pytest.approx(expected, rel=1e-6)


@in_one_test('pool', ['avg', 'max', 'interpolate'])
@in_one_test('base, mutual', [(1.0, 0.0), (0.0, 1.0), (0.3, 0.7)])
def test_parts_are_weighted(pool, base, mutual):
    logits, labels = maps()
    options = dict(pool=pool, pool_size=3, pool_stride=3)
    found = RMILoss(base, mutual, loss_weight=2.0, **options)(logits, labels)
    parts = [rmi_loss(logits, labels, base_weight=b, rmi_weight=1 - b, **options) for b in (1, 0)]
    torch.testing.assert_close(found, 2 * (base * parts[0] + mutual * parts[1]))


def test_cross_entropy_part_divides_by_labelled_pixels_plus_one():
    logits = torch.zeros(1, 4, 2, 2)
    labels = torch.tensor([[[0, 1], [2, IGNORE]]])
    found = RMILoss(1.0, 0.0)(logits, labels)
    assert found.item() == pytest.approx(3 * 4 * math.log(2) / (3 + 1))


@in_one_test('labels', ['one class', 'nothing', 'two constant halves'])
@in_one_test('size', [0.0, 1.0, 50.0])
def test_missing_classes_and_flat_predictions_give_finite_losses_and_gradients(labels, size):
    logits, target = maps()
    target[:] = {'one class': 1, 'nothing': IGNORE, 'two constant halves': 0}[labels]
    if labels == 'two constant halves':
        target[..., 11:] = 2
    logits = (size * logits).requires_grad_()
    value = RMILoss()(logits, target)
    value.backward()
    assert torch.isfinite(value)
    assert torch.isfinite(logits.grad).all()


def test_singular_matrices_without_a_ridge_are_fixed():
    p = torch.full((1, 2, 8, 8), 0.5, dtype=torch.float64, requires_grad=True)
    value = region_mutual_information(p, torch.zeros_like(p), ridge=0.0, pool_stride=1)
    value.backward()
    assert torch.isfinite(value)
    assert torch.isfinite(p.grad).all()


def test_half_precision_is_computed_as_float32():
    logits, labels = maps()
    logits = logits.float()
    with torch.autocast('cpu', dtype=torch.bfloat16):
        found = RMILoss()(logits, labels)
    assert found.dtype == torch.float32
    assert torch.equal(found, RMILoss()(logits, labels))


def test_another_ignored_label_and_foreign_labels_take_no_part():
    logits, labels = maps()
    expected = RMILoss()(logits, labels)
    other = labels.where(labels != IGNORE, -1)
    assert torch.equal(RMILoss()(logits, other, ignore_index=-1), expected)
    assert torch.equal(RMILoss()(logits, other), expected)


def test_unknown_pool_is_refused():
    with pytest.raises(ConfigError, match="pool='median'"):
        RMILoss(pool='median')
