"""SegFix's training loss and its targets as openseg.pytorch gave them."""

import numpy as np
import pytest
import torch
from parity import catalogue, stored

from openseg_plugin.layers.direction_field import boundary_targets
from openseg_plugin.segfix.head import SegFixHead

TOLERANCE = 1e-5
IGNORE = 255


def fixtures() -> list:
    """(family, name) of the files of losses that hold SegFix's."""
    return [
        param
        for param in catalogue.params('openseg losses')
        if 'segfix' in stored.read(catalogue.files()[param.values], param.values[0]).outputs
    ]


def targets() -> tuple[torch.Tensor, torch.Tensor]:
    """Boundary and direction targets of the recipe's labels, distances and angles."""
    labels = stored.labels((2, 128, 192), 19, 4, ignore_index=-1, ignored_share=0.1, block=16)
    depth = stored.labels((2, 128, 192), 12, 5, ignored_share=0.0, block=4)
    angles = np.clip(stored.image((2, 128, 192), 6) * 90, -180, 180)
    labels = np.where(labels < 0, IGNORE, labels)
    return boundary_targets(*(torch.from_numpy(one) for one in (depth, angles, labels)))


@pytest.mark.parametrize(('family', 'name'), fixtures())
def test_targets_are_those_of_the_original(family, name):
    expected = stored.read(catalogue.files()[family, name], family).outputs
    for actual, key in zip(targets(), ('mask_label', 'direction_label')):
        theirs = expected[f'segfix.{key}'].astype('int16')
        assert np.array_equal(np.where(theirs < 0, IGNORE, theirs), actual.numpy())


@pytest.mark.parametrize(('family', 'name'), fixtures())
def test_loss_and_gradients_are_those_of_the_original(family, name):
    expected = stored.read(catalogue.files()[family, name], family).outputs
    shapes = ((2, 2, 32, 48), (2, 8, 32, 48))
    logits = [
        torch.from_numpy(stored.image(shape, seed)).double().requires_grad_()
        for seed, shape in enumerate(shapes, start=2)
    ]
    losses = SegFixHead([4], 4).double().loss_by_feat(tuple(logits), *targets())
    loss = losses['loss_boundary'] + losses['loss_direction']
    loss.backward()
    assert loss.item() == pytest.approx(expected['segfix'].item(), rel=TOLERANCE)
    for index, one in enumerate(logits):
        error = stored.error(one.grad[:, ::7].numpy(), expected[f'segfix.grad{index}'])
        assert error < TOLERANCE
