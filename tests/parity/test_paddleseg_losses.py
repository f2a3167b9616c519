"""PaddleSeg's losses: values, norms of the gradients, and the sum of its multi-scale recipe."""

import re

import numpy as np
import pytest
import torch
from in_one_test import in_one_test
from parity import catalog, paddleseg_hmsa_outputs, recipe_text, stored

from openseg_plugin.models.losses import (
    BootstrappedCrossEntropyLoss,
    CrossEntropyLoss,
    DiceLoss,
    OHEMCrossEntropyLoss,
    RMILoss,
)

TOLERANCE = 1e-5


def read(family: str, name: str) -> stored.Stored:
    return stored.read(catalog.files()[family, name], family)


def fixtures() -> list:
    return catalog.params('paddleseg losses')


def cases(ending: str) -> list:
    """(family, name, case) of every output that ends with ``ending``."""
    return [
        pytest.param(family, name, case.removesuffix(ending), id=f'{family}/{case}')
        for family, name in (param.values for param in fixtures())
        for case in read(family, name).outputs
        if case.endswith(ending)
    ]


def loss_of(case: str, meta: dict) -> torch.nn.Module:
    """The loss that a case names, with its numbers."""
    weights = None
    if 'weighted' in case:
        weights = recipe_text.made(meta['class_weights'], C=meta['num_classes']).tolist()
    if case in meta['cases']:
        kept, threshold = meta['cases'][case]
        return BootstrappedCrossEntropyLoss(kept, threshold, class_weight=weights)
    if case.startswith('dice'):
        smooth = re.search(r'smooth([\d.]+)', case)
        return DiceLoss(float(smooth.group(1)) if smooth else 1.0, class_weight=weights)
    if case.startswith('rmi'):
        return RMILoss(0.0, 1.0, pool='max', pool_size=3, pool_stride=3)
    if case.startswith('ohem'):
        whole, fraction, kept = re.search(r'thresh(\d)(\d+)_min(\d+)', case).groups()
        options = dict(class_weight=weights, count_first_pixel=False, paddleseg=True)
        return OHEMCrossEntropyLoss(float(f'{whole}.{fraction}'), int(kept), **options)
    assert case.startswith('cross_entropy'), f'unknown case {case}'
    return CrossEntropyLoss(class_weight=weights)


def logits_of(words: str, meta: dict, **names: int) -> torch.Tensor:
    made = recipe_text.made(words, shape=meta['shape'], seed=meta['seed'], **names)
    return torch.from_numpy(made).double().requires_grad_()


def labels_of(meta: dict) -> tuple[torch.Tensor, int]:
    """Labels, and the value among them that has no class."""
    sizes = dict(zip('NCHW', meta['shape'])) | {'C': meta['num_classes']}
    made = recipe_text.made(meta['labels'], **sizes, seed=meta['seed'])
    (ignored,) = recipe_text.numbers(r'ignore (\d+)', meta['labels'])
    return torch.from_numpy(np.ascontiguousarray(made)), int(ignored)


@in_one_test(('family', 'name', 'case'), cases('/value'))
def test_paddleseg_loss_and_gradient(family, name, case):
    fixture = read(family, name)
    logits = logits_of(fixture.meta['logits'], fixture.meta)
    labels, ignored = labels_of(fixture.meta)
    loss = loss_of(case, fixture.meta)(logits, labels, ignore_index=ignored)
    loss.backward()
    expected = fixture.outputs
    assert loss.item() == pytest.approx(expected[f'{case}/value'].item(), rel=TOLERANCE)
    norm = expected[f'{case}/grad_norm'].item()
    assert logits.grad.norm().item() == pytest.approx(norm, rel=TOLERANCE)
    gradient = logits.grad[:, 0, ::4, ::4].numpy()
    assert stored.error(gradient, expected[f'{case}/grad_ch0_s4']) < TOLERANCE


@in_one_test(
    ('family', 'name', 'case'),
    [
        pytest.param(family, name, case.removeprefix('all_ignored/'), id=f'{family}/{case}')
        for family, name in (param.values for param in fixtures())
        for case in read(family, name).outputs
        if case.startswith('all_ignored/')
    ],
)
def test_paddleseg_loss_without_a_label(family, name, case):
    fixture = read(family, name)
    logits = logits_of(fixture.meta['logits'], fixture.meta)
    labels, ignored = labels_of(fixture.meta)
    labels[:] = ignored
    value = loss_of(case, fixture.meta)(logits, labels, ignore_index=ignored).item()
    expected = fixture.outputs[f'all_ignored/{case}'].item()
    assert value == pytest.approx(expected, rel=TOLERANCE, abs=1e-6)


@pytest.mark.parametrize(('family', 'name'), fixtures())
@pytest.mark.parametrize('kind', ['fresh', 'shared'])
def test_paddleseg_sum_of_its_recipe(family, name, kind):
    fixture = read(family, name)
    shape = fixture.meta['shape']
    said = fixture.meta['combo']
    number, words = re.search(r'(\d+) logits: (.*?), i=', said).groups()
    maps = [logits_of(words, fixture.meta, i=index) for index in range(int(number))]
    divisor, thresh = recipe_text.numbers(r'min_K=H\*W//(\d+), loss_th=([\d.]+\d)', said)
    coefficients = map(float, re.search(r'coefficients ([\d.,]*\d)', said).group(1).split(','))
    pieces = paddleseg_hmsa_outputs.loss_pieces(
        maps,
        labels_of(fixture.meta)[0],
        min_kept=shape[2] * shape[3] // int(divisor),
        thresh=thresh,
        shared=kind == 'shared',
    )
    expected = {
        key.split('/')[1]: value
        for key, value in fixture.outputs.items()
        if key.startswith(f'combo_{kind}_labels/')
    }
    total = sum(
        piece * weight for piece, weight in zip(pieces, map(float, coefficients), strict=True)
    )
    total.backward()
    values = torch.stack(pieces).detach().numpy()
    norms = [logits.grad.norm().item() for logits in maps]
    assert stored.error(values, expected['pieces']) < TOLERANCE
    assert total.item() == pytest.approx(expected['total'].item(), rel=TOLERANCE)
    assert stored.error(np.array(norms), expected['grad_norms']) < TOLERANCE
