"""NVIDIA's losses: which of ours a stored case means."""

import re
from collections.abc import Callable, Iterator

import numpy as np
import torch
from parity import stored

from openseg_plugin.models.losses import CrossEntropyLoss, ImageWeightedCrossEntropyLoss, RMILoss

POOLS = {0: 'max', 1: 'avg', 2: 'interpolate'}
RMI_OPTIONS = {
    'rmi_radius': 'radius',
    'rmi_pool_size': 'pool_size',
    'rmi_pool_stride': 'pool_stride',
}


def rmi(kwargs: dict, *, do_rmi: bool) -> RMILoss:
    """The loss with NVIDIA's arguments."""
    if not do_rmi:
        return RMILoss(1.0, 0.0)
    kwargs = dict(kwargs)
    weight = kwargs.pop('loss_weight_lambda', 0.5)
    base, mutual = (weight, 1 - weight) if kwargs.pop('lambda_way', 1) else (1.0, weight)
    options = {'pool': POOLS[kwargs.pop('rmi_pool_way', 1)]}
    for theirs, ours in RMI_OPTIONS.items():
        if theirs in kwargs:
            options[ours] = kwargs.pop(theirs)
    kwargs.pop('num_classes', None)
    assert not kwargs, f'unknown options {kwargs}'
    return RMILoss(base, mutual, **options)


def flags(text: str) -> dict[str, str]:
    """'a=1,b=2' or 'a=1 b=2' as a dict."""
    return dict(re.findall(r'(\w+)=([\w.]+)', text))


def image_weighted(case: str) -> ImageWeightedCrossEntropyLoss:
    """The loss of a case's name."""
    found = flags(case)
    return ImageWeightedCrossEntropyLoss(
        float(found['upper_bound']), inverse=found['norm'] == 'True'
    )


def loss_of(case: str, given: dict) -> Callable | None:
    """The loss that a case names; None if it is none of logits and labels."""
    kind = case.split('/')[0]
    if kind == 'rmi':
        return rmi(given['kwargs'], do_rmi=given['do_rmi'])
    if kind == 'ce':
        return CrossEntropyLoss()
    return image_weighted(case) if kind == 'img_wt_ce' and 'value' in given else None


def inputs(fixture: stored.Stored, case: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits (float64, they want a gradient) and labels of a case's size and kind."""
    _, size, kind = (*case.split('/'), 'random')[:3]
    shape, seed = fixture.meta['shapes'][size], fixture.meta['seed']
    logits = torch.from_numpy(stored.image(shape, seed)).double()
    labels = stored.labels((shape[0], *shape[2:]), shape[1], seed)
    labels = torch.from_numpy(np.ascontiguousarray(labels))
    if kind == 'confident':
        known = labels < shape[1]
        onehot = torch.nn.functional.one_hot(labels.where(known, 0), shape[1]).permute(0, 3, 1, 2)
        logits = logits + 4 * onehot * known.unsqueeze(1)
    return logits.requires_grad_(), labels


def relaxed_settings(setting: dict) -> dict:
    """Arguments of ``relaxed_target`` for NVIDIA's configuration."""
    off = setting.get('REDUCE_BORDER_EPOCH', -1)
    return {
        'border': setting.get('BORDER_WINDOW', 1),
        'strict_classes': setting.get('STRICTBORDERCLASS') or (),
        'sharp': off != -1 and setting.get('EPOCH', 0) > off,
    }


def relaxed_losses(given: dict) -> Iterator[tuple[str, dict, dict]]:
    """(name, arguments of the loss, expected numbers) of the cases of one image."""
    for name, numbers in given.items():
        if not name.startswith('loss N=1'):
            continue
        found = flags(name)
        yield (
            name,
            dict(
                inverse=found['norm'] == 'True',
                batch_weights=found['batch_weights'] == 'True',
                upper_bound=float(found.get('upper_bound', 1.0)),
            ),
            numbers,
        )
