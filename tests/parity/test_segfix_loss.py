"""SegFix's training loss and its targets as openseg.pytorch gave them."""

import numpy as np
import pytest
import torch
from parity import catalog, recipe_text, stored

from openseg_plugin.layers.direction_field import boundary_targets
from openseg_plugin.segfix.head import SegFixHead

TOLERANCE = 1e-5
IGNORE = 255


def fixtures() -> list:
    """(family, name) of the files of losses that hold SegFix's."""
    return [
        param
        for param in catalog.params('openseg losses')
        if 'segfix' in stored.read(catalog.files()[param.values], param.values[0]).outputs
    ]


def read(family: str, name: str) -> stored.Stored:
    return stored.read(catalog.files()[family, name], family)


def made(fixture: stored.Stored, which: str) -> torch.Tensor:
    return torch.from_numpy(recipe_text.made(fixture.meta['inputs'][f'segfix_{which}']))


def targets(fixture: stored.Stored) -> tuple[torch.Tensor, torch.Tensor]:
    """Boundary and direction targets of the fixture's labels, distances and angles."""
    labels = made(fixture, 'labels')
    labels = labels.where(labels >= 0, IGNORE)
    return boundary_targets(
        made(fixture, 'distance'),
        made(fixture, 'angle'),
        labels,
        num_directions=num_directions(fixture),
    )


def num_directions(fixture: stored.Stored) -> int:
    return made(fixture, 'direction').shape[1]


@pytest.mark.parametrize(('family', 'name'), fixtures())
def test_targets_are_those_of_the_original(family, name):
    fixture = read(family, name)
    for actual, key in zip(targets(fixture), ('mask_label', 'direction_label'), strict=True):
        theirs = fixture.outputs[f'segfix.{key}'].astype('int16')
        assert np.array_equal(np.where(theirs < 0, IGNORE, theirs), actual.numpy()), key


@pytest.mark.parametrize(('family', 'name'), fixtures())
def test_loss_and_gradients_are_those_of_the_original(family, name):
    fixture = read(family, name)
    expected = fixture.outputs
    logits = tuple(
        made(fixture, which).double().requires_grad_() for which in ('mask', 'direction')
    )
    head = SegFixHead([4], 4, num_directions=num_directions(fixture)).double()
    losses = head.loss_by_feat(logits, *targets(fixture))
    loss = losses['loss_boundary'] + losses['loss_direction']
    loss.backward()
    assert loss.item() == pytest.approx(expected['segfix'].item(), rel=TOLERANCE)
    step = recipe_text.channel_step(fixture.meta['outputs']['segfix'])
    for index, one in enumerate(logits):
        error = stored.error(one.grad[:, ::step].numpy(), expected[f'segfix.grad{index}'])
        assert error < TOLERANCE
