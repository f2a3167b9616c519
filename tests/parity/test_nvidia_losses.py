"""NVIDIA's losses, their gradients, and the targets of relaxed boundaries."""

import numpy as np
import pytest
import torch
from in_one_test import in_one_test
from parity import catalog, nvidia_losses, stored

from openseg_plugin.models.losses.image_weighted import (
    BoundaryRelaxedLoss,
    boundary_relaxed_cross_entropy,
    class_weights_of,
    relaxed_target,
)

TOLERANCE = 1e-5


def cases(*kinds: str) -> list:
    """(family, name, case) of the stored cases whose name begins with one of ``kinds``."""
    found = []
    for family, name in (param.values for param in catalog.params('nvidia losses')):
        fixture = stored.read(catalog.files()[family, name], family)
        for case in fixture.meta['cases']:
            if case.split('/')[0] in kinds:
                found.append(pytest.param(family, name, case, id=f'{family}/{case}'))
    return found


def read(family: str, name: str) -> stored.Stored:
    return stored.read(catalog.files()[family, name], family)


def check_gradient(gradient: torch.Tensor, expected: dict) -> None:
    # the reference's gradients are float32
    assert gradient.norm().item() == pytest.approx(expected['grad_norm'], rel=TOLERANCE)
    assert gradient.abs().sum().item() == pytest.approx(expected['grad_abs_sum'], rel=TOLERANCE)
    per_class = gradient.transpose(0, 1).flatten(1).norm(dim=1).numpy()
    assert stored.error(per_class, expected['grad_norm_per_class']) < TOLERANCE


@in_one_test(('family', 'name', 'case'), cases('rmi', 'ce', 'img_wt_ce'))
def test_nvidia_loss_and_gradient(family, name, case):
    fixture = read(family, name)
    given = fixture.meta['cases'][case]
    logits, labels = nvidia_losses.inputs(fixture, case)
    loss = nvidia_losses.loss_of(case, given)
    if loss is None:
        assert case.endswith('weights_when_ignore_label_equals_num_classes')
        check_ignored_as_last(given, labels, logits.shape[1])
        return
    value = loss(logits, labels)
    value.backward()
    assert value.item() == pytest.approx(given['value'], rel=TOLERANCE)
    check_gradient(logits.grad, given)
    stored_gradient = f'grad/{case.removesuffix("/default")}'
    if case.endswith('/default') and stored_gradient in fixture.arrays:
        expected = fixture.arrays[stored_gradient]
        assert stored.error(logits.grad[..., ::4, ::4].numpy(), expected) < TOLERANCE


@in_one_test(('family', 'name', 'case'), cases('rmi'))
def test_nvidia_parts_of_rmi(family, name, case):
    fixture = read(family, name)
    given = fixture.meta['cases'][case]
    logits, labels = nvidia_losses.inputs(fixture, case)
    base = nvidia_losses.rmi({}, do_rmi=False)(logits, labels)
    assert base.item() == pytest.approx(given['bce_part'], rel=TOLERANCE)
    if given['rmi_part'] is not None:
        loss = nvidia_losses.rmi(given['kwargs'], do_rmi=True)
        loss.base_weight, loss.rmi_weight = 0.0, 1.0
        expected = pytest.approx(given['rmi_part'], rel=TOLERANCE, abs=TOLERANCE)
        assert loss(logits, labels).item() == expected


def check_ignored_as_last(given: dict, labels: torch.Tensor, classes: int) -> None:
    """There an ignored label that equals the number of classes counts as the last class."""
    counted_as_last = labels.where(labels < classes, classes - 1)
    weights = class_weights_of(counted_as_last, classes).numpy()
    assert stored.error(weights, given['weights']) < TOLERANCE


@in_one_test(('family', 'name', 'case'), cases('img_wt_ce'))
def test_nvidia_weights_of_the_batch(family, name, case):
    fixture = read(family, name)
    given = fixture.meta['cases'][case]
    if 'value' not in given:
        return  # see check_ignored_as_last
    loss = nvidia_losses.image_weighted(case)
    logits, labels = nvidia_losses.inputs(fixture, case)
    weights = class_weights_of(
        labels, logits.shape[1], upper_bound=loss.upper_bound, inverse=loss.inverse
    )
    assert stored.error(weights.numpy(), given['weights']) < TOLERANCE


@in_one_test(('family', 'name', 'case'), cases('relaxed'))
def test_nvidia_relaxed_target(family, name, case):
    fixture = read(family, name)
    given = fixture.meta['cases'][case]
    logits, labels = nvidia_losses.inputs(fixture, case.rsplit('/', 1)[0])
    settings = nvidia_losses.relaxed_settings(given['setting'])
    target = relaxed_target(labels, logits.shape[1], **settings)
    assert list(target.shape) == given['shape']
    packed = np.packbits(target.numpy() > 0)
    assert np.array_equal(packed, fixture.arrays[f'{case}/packed'])
    assert int(target.sum()) == given['sum']
    assert int((target > 1).sum()) == given['n_gt1']


@in_one_test(('family', 'name', 'case'), cases('relaxed'))
def test_nvidia_relaxed_loss_of_one_image(family, name, case):
    fixture = read(family, name)
    given = fixture.meta['cases'][case]
    settings = nvidia_losses.relaxed_settings(given['setting'])
    for _, options, expected in nvidia_losses.relaxed_losses(given):
        logits, labels = nvidia_losses.inputs(fixture, case.rsplit('/', 1)[0])
        logits, labels = logits[:1].detach().requires_grad_(), labels[:1]
        target = relaxed_target(labels, logits.shape[1], **settings)
        value = boundary_relaxed_cross_entropy(logits, target, sharp=settings['sharp'], **options)
        value.backward()
        assert value.item() == pytest.approx(expected['value'], rel=TOLERANCE)
        check_gradient(logits.grad, expected)
        loss = BoundaryRelaxedLoss(**settings, **options)
        assert loss(logits, labels).item() == pytest.approx(value.item())
