"""Losses and their gradients as the reference implementations gave them."""

import numpy as np
import pytest
import torch
from parity import catalogue, stored

from openseg_plugin.layers.resize import resize_bilinear
from openseg_plugin.models.losses import CrossEntropyLoss, OHEMCrossEntropyLoss, RMILoss

AUXILIARY = 0.4
TOLERANCE = 1e-5
# openseg's case -> (settings of the main loss, has class weights, has an auxiliary output)
OPENSEG_CASES = {
    'fs_ce': (None, False, False),
    'fs_ce_weighted': (None, True, False),
    'fs_auxce': (None, True, True),
    'fs_ohem_0.7': ({'thresh': 0.7, 'min_kept': 2000}, True, False),
    'fs_ohem_0.9': ({'thresh': 0.9, 'min_kept': 2000}, True, False),
    'fs_ohem_lowthr': ({'thresh': 0.02, 'min_kept': 2000}, False, False),
    'rmi': ('rmi', False, False),
    'fs_aux_rmi': ('rmi', False, True),
    'fs_auxohem': ({'thresh': 0.9, 'min_kept': 2000}, True, True),
}


def cases(kind: str) -> list:
    """(family, name, case) of every loss in the stored results of a kind."""
    found = []
    for family, name in (param.values for param in catalogue.params(kind)):
        fixture = stored.read(catalogue.files()[family, name], family)
        names = fixture.meta.get('cases') or [k for k in fixture.outputs if '.grad' not in k]
        names = [case for case in names if case.split('.')[0] not in catalogue.OTHER_LOSSES]
        found += [pytest.param(family, name, case, id=f'{family}/{case}') for case in names]
    return found


def requires_grad(array: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(array).double().requires_grad_()


# the configurations *_RMI.json; its ridge is twice that of the other sources
RMI = dict(pool='max', pool_size=3, pool_stride=3, ridge=1e-3)


def main_loss(ohem: dict | str | None, class_weight: list | None) -> torch.nn.Module:
    if ohem == 'rmi':
        return RMILoss(**RMI)
    if ohem is None:
        return CrossEntropyLoss(class_weight=class_weight)
    return OHEMCrossEntropyLoss(class_weight=class_weight, **ohem)


@pytest.mark.parametrize(('family', 'name', 'case'), cases('openseg losses'))
def test_openseg_loss_and_gradient(family, name, case):
    fixture = stored.read(catalogue.files()[family, name], family)
    ohem, is_weighted, has_auxiliary = OPENSEG_CASES[case]
    weights = fixture.meta['class_weights'] if is_weighted else None
    shape = (2, 19, 64, 96)
    seg, aux = (requires_grad(stored.image(shape, seed) * np.float32(2)) for seed in (0, 1))
    labels = torch.from_numpy(stored.labels((2, 64, 96), 19, 0, ignore_index=-1, ignored_share=0.1))
    loss = main_loss(ohem, weights)(seg, labels, ignore_index=-1)
    inputs = [seg]
    if has_auxiliary:
        auxiliary = CrossEntropyLoss(class_weight=weights, loss_weight=AUXILIARY)
        loss = loss + auxiliary(aux, labels, ignore_index=-1)
        inputs = [aux, seg]
    loss.backward()
    assert loss.item() == pytest.approx(fixture.outputs[case].item(), rel=TOLERANCE)
    for index, logits in enumerate(inputs):
        gradient = fixture.outputs[f'{case}.grad{index}']
        assert stored.error(logits.grad[:, ::7].numpy(), gradient) < TOLERANCE


def settings(case: str) -> tuple[dict | None, int, bool, bool]:
    """OHEM's arguments, number of outputs, whether weighted, align_corners, from a case's name."""
    kind, outputs, weights, align = case.split('/')
    ohem = None
    if kind != 'ce':
        _, threshold, kept = kind.split('_')
        ohem = {'thresh': float(threshold[3:]), 'min_kept': int(kept[4:])}
    return ohem, int(outputs[-1]), weights != 'weights=none', align == 'align_corners=True'


@pytest.mark.parametrize(('family', 'name', 'case'), cases('hrnet_ocr losses'))
def test_hrnet_ocr_loss_and_gradient_norm(family, name, case):
    fixture = stored.read(catalogue.files()[family, name], family)
    meta, expected = fixture.meta, fixture.meta['cases'][case]
    ohem, outputs, is_weighted, align_corners = settings(case)
    weights = meta['class_weights_cityscapes'] if is_weighted else None
    seed = meta['seed']
    aux, main = (requires_grad(stored.image(meta['shape'], seed + n)) for n in (0, 1))
    labels = torch.from_numpy(stored.labels(meta['label_shape'], 19, seed))

    def at_label_size(logits: torch.Tensor) -> torch.Tensor:
        return resize_bilinear(logits, labels.shape[1:], align_corners=align_corners)

    loss = main_loss(ohem, weights)(at_label_size(main), labels)
    if outputs == 2:
        average = 'valid' if ohem is None else 'all'  # beside OHEM it was not reduced
        assert expected['loss_is_map'] == (average == 'all')
        auxiliary = CrossEntropyLoss(
            class_weight=weights, loss_weight=meta['balance_weights'][0], average=average
        )
        loss = loss + auxiliary(at_label_size(aux), labels)
    loss.backward()
    assert loss.item() == pytest.approx(expected['value'], rel=TOLERANCE)
    assert main.grad.norm().item() == pytest.approx(expected['grad_norm_main'], rel=TOLERANCE)
    if expected['grad_norm_aux'] is not None:
        assert aux.grad.norm().item() == pytest.approx(expected['grad_norm_aux'], rel=TOLERANCE)
