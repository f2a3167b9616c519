"""SegFix networks: boundary (``mask``) and direction logits, and the maps of the backbone.

The maps were recorded as the heads see them, at the size of the first.
"""

import numpy as np
import torch
from parity import recipe_text, reference_run, stored

from openseg_plugin.converters.checkpoints import Conversion
from openseg_plugin.layers.resize import resize_bilinear


def errors(fixture: stored.Stored, conversion: Conversion) -> dict[str, float]:
    """Largest relative difference of every stored output."""
    model = reference_run.build(conversion)
    found = {}
    for run, given in fixture.meta['evals'].items():
        actual = outputs(model, stored.image(given['input_shape'], given['input_seed']))
        for name, value in fixture.outputs.items():
            if name.startswith(f'{run}.'):
                step = recipe_text.channel_step(fixture.meta['outputs'][name])
                array = actual[name.removeprefix(f'{run}.')]
                found[name] = stored.error(array[:, ::step], value)
    return found


@torch.no_grad()
def outputs(model: torch.nn.Module, image: np.ndarray) -> dict[str, np.ndarray]:
    """Everything that is recorded for an image (N, 3, H, W)."""
    maps = model.extract_feat(torch.from_numpy(image).double())
    mask, direction = model.decode_head(maps)
    seen = {'mask': mask, 'direction': direction}
    for index, one in enumerate(maps):
        seen[f'backbone{index}'] = resize_bilinear(one, maps[0].shape[2:], align_corners=True)
    return {name: value.numpy() for name, value in seen.items()}
