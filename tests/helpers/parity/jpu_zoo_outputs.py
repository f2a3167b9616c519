"""Stored outputs of pytorch-cv's networks.

A name is ``[keep_shape_]<what>[_ch<every how many-th channel>]``; everything called after an output
has the size of the image. A file does not tell whether its backbone was dilated, but the
fixture does.
"""

import re

import numpy as np
import torch
from parity import reference_run, stored

from openseg_plugin.converters.checkpoints import Conversion
from openseg_plugin.layers.resize import resize_bilinear

RUNS = {'': 'eval_input', 'keep_shape_': 'keep_shape_input'}


def errors(fixture: stored.Stored, conversion: Conversion) -> dict[str, float]:
    """Largest relative difference of every recorded output."""
    model = reference_run.build(conversion, **options(fixture, conversion))
    found = {}
    for prefix, run in RUNS.items():
        wanted = {
            name: value
            for name, value in fixture.outputs.items()
            if name.startswith('keep_shape_') == bool(prefix)
        }
        if not wanted:
            continue
        image = stored.image(fixture.meta[f'{run}_shape'], fixture.meta[f'{run}_seed'])
        seen = outputs(model, torch.from_numpy(image).double())
        for name, expected in wanted.items():
            what, step = re.fullmatch(r'(?:keep_shape_)?(.+?)(?:_ch(\d+))?', name).groups()
            found[name] = stored.error(seen[what][:, :: int(step or 1)], expected)
    return found


def options(fixture: stored.Stored, conversion: Conversion) -> dict:
    """Options of the model that the weights do not tell."""
    if conversion.method == 'bisenet':
        return {}
    return {'backbone__output_stride': 8 if fixture.meta['hyper']['dilated'] else 32}


@torch.no_grad()
def outputs(model: torch.nn.Module, image: torch.Tensor) -> dict[str, np.ndarray]:
    """Everything that is recorded of an image (N, 3, H, W)."""

    def at_image_size(logits: torch.Tensor) -> torch.Tensor:
        return resize_bilinear(logits, image.shape[2:], align_corners=True)

    maps = model.backbone(image)
    feats = model.neck(maps) if model.with_neck else maps
    head = model.decode_head
    seen = {'main': model.inference(image)}
    if len(maps) == 3:  # BiSeNet: its outputs in testing are log probabilities
        logits = [h(feats) for h in (*model.auxiliary_head[::-1], head)]
        seen = {f'train_head{i}': at_image_size(x) for i, x in enumerate(logits)}
        seen['main'] = model.inference(image).log_softmax(dim=1)
        return {name: x.numpy() for name, x in seen.items()}
    seen |= {'c3': maps[2], 'c4': maps[3], 'jpu': feats[-1]}
    if model.with_auxiliary_head:
        seen['aux'] = at_image_size(model.auxiliary_head(feats))
    if isinstance(logits := head(feats), tuple):
        seen |= {'sa': at_image_size(logits[0]), 'sc': at_image_size(logits[1])}
    return {name: x.numpy() for name, x in seen.items()}
