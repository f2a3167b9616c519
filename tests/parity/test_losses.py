"""Losses and their gradients as the reference implementations gave them."""

import re

import numpy as np
import pytest
import torch
from parity import catalog, recipe_text, stored

from openseg_plugin.layers.resize import resize_bilinear
from openseg_plugin.models.losses import CrossEntropyLoss, OHEMCrossEntropyLoss, RMILoss

TOLERANCE = 1e-5


def requires_grad(array: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(array).double().requires_grad_()


POOLS = {0: 'max', 1: 'avg', 2: 'interpolate'}


def rmi_loss(given: dict) -> RMILoss:
    """openseg's RMI loss with the settings of a fixture; its ridge is twice that of the others."""
    assert not given.get('use_sigmoid'), 'no loss here has one sigmoid per class'
    weight = given['loss_weight_lambda']
    base, mutual = (weight, 1 - weight) if given['lambda_way'] else (1.0, weight)
    return RMILoss(
        base,
        mutual,
        radius=given['rmi_radius'],
        pool=POOLS[given['rmi_pool_way']],
        pool_size=given['rmi_pool_size'],
        pool_stride=given['rmi_pool_stride'],
        ridge=1e-3,
        loss_weight=given['loss_weight'],
    )


def cross_entropy(ohem: dict | None, class_weight: list | None, **options) -> torch.nn.Module:
    if ohem is None:
        return CrossEntropyLoss(class_weight=class_weight, **options)
    return OHEMCrossEntropyLoss(class_weight=class_weight, **ohem, **options)


def openseg_losses(case: str, meta: dict) -> tuple[torch.nn.Module, torch.nn.Module]:
    """Main and auxiliary loss of a case, from what its output is said to be."""
    said = meta['outputs'][case].split('; grads')[0]
    is_plain = re.search('unweighted|no class weights|plain', said)
    weights = None if is_plain or 'weighted' not in said else meta['class_weights']
    auxiliary = CrossEntropyLoss(class_weight=weights, loss_weight=meta['loss_weights']['aux'])
    if 'RMI' in said:
        return rmi_loss(meta['rmi']), auxiliary
    ohem = re.search(r'OHEM(?: thresh |\()([\d.]+)(?: minkeep |, ?)(\d+)', said)
    if ohem:
        ohem = {'thresh': float(ohem[1]), 'min_kept': int(ohem[2])}
    assert ohem or re.search('CE|cross entropy|seg [+]', said), f'unknown loss: {said}'
    weight = meta['loss_weights']['seg']
    return cross_entropy(ohem, weights, loss_weight=weight), auxiliary


@pytest.mark.parametrize(('family', 'name'), catalog.params('openseg losses'))
def test_openseg_loss_and_gradient(family, name, subtests):
    fixture = stored.read(catalog.files()[family, name], family)
    for case in fixture.outputs:
        if case in fixture.meta['outputs'] and case not in catalog.OTHER_LOSSES:
            with subtests.test(case):
                check_openseg_case(fixture, case)


def check_openseg_case(fixture: stored.Stored, case: str) -> None:
    words = fixture.meta['inputs']
    seg, aux = (requires_grad(recipe_text.made(words[which])) for which in ('seg', 'aux'))
    labels = torch.from_numpy(recipe_text.made(words['labels']))
    ignored = int(recipe_text.numbers(r'ignore_index=(-?\d+)', words['labels'])[0])
    main, auxiliary = openseg_losses(case, fixture.meta)
    loss, inputs = main(seg, labels, ignore_index=ignored), [seg]
    if f'{case}.grad1' in fixture.outputs:
        loss = loss + auxiliary(aux, labels, ignore_index=ignored)
        inputs = [aux, seg]
    loss.backward()
    assert loss.item() == pytest.approx(fixture.outputs[case].item(), rel=TOLERANCE)
    step = recipe_text.channel_step(fixture.meta['outputs'][case])
    for index, logits in enumerate(inputs):
        gradient = fixture.outputs[f'{case}.grad{index}']
        assert stored.error(logits.grad[:, ::step].numpy(), gradient) < TOLERANCE


def settings(case: str, meta: dict) -> tuple[dict | None, int, list | None, bool]:
    """OHEM's arguments, number of outputs, class weights, align_corners, from a case's name."""
    kind, outputs, weights, align = case.split('/')
    ohem = None
    if kind != 'ce':
        _, threshold, kept = kind.split('_')
        ohem = {'thresh': float(threshold[3:]), 'min_kept': int(kept[4:])}
    whose = weights.removeprefix('weights=')
    class_weight = None if whose == 'none' else meta[f'class_weights_{whose}']
    return ohem, int(outputs[-1]), class_weight, align == 'align_corners=True'


@pytest.mark.parametrize(('family', 'name'), catalog.params('hrnet_ocr losses'))
def test_hrnet_ocr_loss_and_gradient_norm(family, name, subtests):
    fixture = stored.read(catalog.files()[family, name], family)
    for case, expected in fixture.meta['cases'].items():
        with subtests.test(case):
            check_hrnet_ocr_case(fixture.meta, case, expected)


def check_hrnet_ocr_case(meta: dict, case: str, expected: dict) -> None:
    ohem, outputs, class_weight, align_corners = settings(case, meta)
    seed = meta['seed']
    aux, main = (requires_grad(stored.image(meta['shape'], seed + n)) for n in (0, 1))
    labels = torch.from_numpy(stored.labels(meta['label_shape'], meta['shape'][1], seed))

    def at_label_size(logits: torch.Tensor) -> torch.Tensor:
        return resize_bilinear(logits, labels.shape[1:], align_corners=align_corners)

    loss = cross_entropy(ohem, class_weight)(at_label_size(main), labels)
    if outputs == 2:
        average = 'valid' if ohem is None else 'all'  # beside OHEM it was not reduced
        assert expected['loss_is_map'] == (average == 'all')
        weight, of_main = meta['balance_weights']
        auxiliary = CrossEntropyLoss(class_weight, loss_weight=weight, average=average)
        loss = of_main * loss + auxiliary(at_label_size(aux), labels)
    loss.backward()
    assert loss.item() == pytest.approx(expected['value'], rel=TOLERANCE)
    assert main.grad.norm().item() == pytest.approx(expected['grad_norm_main'], rel=TOLERANCE)
    if expected['grad_norm_aux'] is not None:
        assert aux.grad.norm().item() == pytest.approx(expected['grad_norm_aux'], rel=TOLERANCE)
