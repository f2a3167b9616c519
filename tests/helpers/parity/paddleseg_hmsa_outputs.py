"""Stored outputs of PaddleSeg's multi-scale network.

A name is what, whether of the odd input, and which channels were kept: ``ss_*`` one pass at
stride 4, ``pred_<n>scale`` the fused logits, ``train_*`` the two passes of a training iteration.
"""

import re

import numpy as np
import torch
from parity import reference_run, stored

from openseg_plugin.converters.checkpoints import Conversion
from openseg_plugin.layers.resize import resize_bilinear
from openseg_plugin.models.losses import BootstrappedCrossEntropyLoss, DiceLoss
from openseg_plugin.models.segmentors.hierarchical_multi_scale import ordered_scales


def scales_of(name: str, descriptions: dict[str, str]) -> list[float]:
    """'5scale' -> 0.5, 1, 1.5, 2, 2.5, as the descriptions say."""
    number = re.search(r'_(\d+)scale', name).group(1)
    texts = [text for key, text in descriptions.items() if f'_{number}scale' in key]
    found = (re.search(r'scales ([\d.,]+\d)', text) for text in texts)
    return [float(scale) for scale in next(one for one in found if one).group(1).split(',')]


@torch.no_grad()
def errors(fixture: stored.Stored, conversion: Conversion) -> dict[str, float]:
    """Relative error of every stored output."""
    meta, model = fixture.meta, reference_run.build(conversion)
    images = {
        odd: torch.from_numpy(stored.image(meta[f'{run}_shape'], meta[f'{run}_seed'])).double()
        for odd, run in ((False, 'eval_input'), (True, 'odd_input'))
    }
    image = images[False]
    training, one = two_passes(model, image), single_pass(model, image)
    found = {}
    for name, expected in fixture.outputs.items():
        if name.startswith('loss_'):
            continue
        if name == 'train_len':
            found[name] = abs(float(expected) - 2 * len(training))  # each of them twice
            continue
        if name.startswith('train_'):
            maps = training[re.sub(r'_ch\d+$', '', name.removeprefix('train_'))]
        elif name.startswith('ss_'):
            maps = one[name.split('_s4')[0]]
        else:
            model.scales = ordered_scales(scales_of(name, meta['outputs']))
            maps = model.inference(images['odd' in name])
        found[name] = stored.error(kept(maps, name, expected), expected)
    return found | (loss_errors(fixture, training) if 'loss' in meta else {})


def kept(maps: torch.Tensor, name: str, expected: np.ndarray) -> np.ndarray:
    """Every how many-th channel: the last number behind 'ch', or what the shape tells."""
    named = re.search(r'_ch[\d_]*?(\d+)$', name)
    step = int(named.group(1)) if named else 1
    if len(range(0, maps.shape[1], step)) != expected.shape[1]:  # named after something else
        step = round(maps.shape[1] / expected.shape[1])
    return maps[:, ::step].numpy()


def single_pass(model: torch.nn.Module, image: torch.Tensor) -> dict[str, torch.Tensor]:
    """One pass at head resolution."""
    regions, features = model.decode_head.object_contextual_features(model.extract_feat(image))
    return {
        'ss_cls': model.decode_head.cls_seg(features),
        'ss_aux': regions,
        'ss_attn': model.scale_attention(features),
        'ss_ocr': features,
    }


def two_passes(model: torch.nn.Module, image: torch.Tensor) -> dict[str, torch.Tensor]:
    """What the losses get, at the size of the image."""
    coarse, fine = model.two_passes(image)
    size = tuple(image.shape[2:])
    low = resize_bilinear(coarse.logits, coarse.size, align_corners=False)
    return {
        'joint_pred': model.fused([fine, coarse], size),
        'joint_aux': model.fused([fine, coarse], size, of_regions=True),
        'lo_pred_up': resize_bilinear(low, size, align_corners=False),
        'hi_pred': resize_bilinear(fine.logits, size, align_corners=False),
    }


def loss_errors(fixture: stored.Stored, training: dict[str, torch.Tensor]) -> dict[str, float]:
    """Dice and bootstrapped losses of the four maps, with and without PaddleSeg's side effect."""
    given, outputs = fixture.meta['loss'], fixture.outputs
    shape = next(iter(training.values())).shape
    labels = stored.labels((shape[0], *shape[2:]), shape[1], fixture.meta['seed'])
    found = {}
    for kind in ('fresh', 'shared'):
        pieces = loss_pieces(
            list(training.values()),
            torch.from_numpy(labels),
            min_kept=given['min_K'],
            thresh=given['loss_th'],
            shared=kind == 'shared',
        )
        pieces = torch.stack(pieces).numpy()
        total = np.array((pieces * np.array(given['coef'])).sum())
        found[f'loss_pieces_{kind}_labels'] = stored.error(
            pieces, outputs[f'loss_pieces_{kind}_labels']
        )
        found[f'loss_total_{kind}_labels'] = stored.error(
            total, outputs[f'loss_total_{kind}_labels']
        )
    return found


def clipped(logits: torch.Tensor) -> torch.Tensor:
    """As Paddle's softmax takes them on a CPU: none more than 64 below the largest of its pixel."""
    return torch.maximum(logits, logits.amax(1, keepdim=True) - 64)


def loss_pieces(
    maps: list[torch.Tensor], labels: torch.Tensor, *, min_kept: int, thresh: float, shared: bool
) -> list[torch.Tensor]:
    """Dice of every map, then bootstrapped cross entropy of every map.

    Args:
        maps: logits.
        labels: with 255 for ignored.
        min_kept: of the bootstrapped loss.
        thresh: of the bootstrapped loss.
        shared: the first dice loss turns ignored labels into class 0 for all that follow.
    """
    pieces = []
    maps = [clipped(logits) for logits in maps]
    for loss in (DiceLoss(), BootstrappedCrossEntropyLoss(min_kept, thresh)):
        for logits in maps:
            pieces.append(loss(logits, labels))
            if shared:
                labels = labels.where(labels != 255, 0)
    return pieces
