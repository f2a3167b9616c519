"""A narrow and shallow OCR network, and its weights as openseg.pytorch publishes them.

The tables are those of the published networks except for their depth (:func:`shallow_tables`).
"""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch
from mmengine.registry import init_default_scope

from openseg_plugin.converters.checkpoints import networks, openseg, paddle_networks
from openseg_plugin.registry import MODELS

WIDTH, CLASSES = 4, 3
BACKBONE = {
    'type': 'openseg_plugin.HRNet', 'width': WIDTH, 'num_modules': (1, 1, 1), 'num_blocks': 1
}  # fmt: skip
# the same as Paddle's files tell it: that of a layer1 of one block
SHALLOW = {'modules': (1, 1, 1), 'blocks': 1, 'layer1': (1, 64)}
LEAKY = {'type': 'LeakyReLU', 'negative_slope': 0.01}
BGR = {'mean': [123.675, 116.28, 103.53], 'std': [58.395, 57.12, 57.375], 'bgr_to_rgb': False}


@contextmanager
def shallow_tables() -> Iterator[None]:
    """The table of an HRNet with one block everywhere: 300 entries rather than 1900."""
    with pytest.MonkeyPatch.context() as patch:
        for table in ('HRNET', 'HRNET_SMALL'):
            patch.setattr(networks, table, ((1, 1, 1), 1))
        patch.setattr(paddle_networks, 'SMALL_V1', SHALLOW)
        yield


def build(*, classes: int = CLASSES, **options) -> torch.nn.Module:
    """OCR as openseg has it, but narrow."""
    init_default_scope('mmseg')
    widths = [WIDTH * 2**branch for branch in range(4)]
    head = {'act_cfg': LEAKY, 'conv_bias': 'all', 'align_corners': True, **options}
    return MODELS.build({
        'type': 'openseg_plugin.EncoderDecoder',
        'data_preprocessor': {'type': 'openseg_plugin.SegDataPreProcessor', **BGR},
        'backbone': BACKBONE,
        'decode_head': {
            'type': 'openseg_plugin.OCRHead', 'in_channels': widths, 'channels': 8,
            'key_channels': 4, 'region': {'channels': 6, 'kernel_size': 3},
            'num_classes': classes, **head,
        },
    })  # fmt: skip


def filled() -> torch.nn.Module:
    """The same with weights in 0.1..1."""
    model = build()
    with torch.no_grad():
        for value in model.state_dict().values():
            if value.is_floating_point():
                value.uniform_(0.1, 1)
    return model


def published_weights(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    """The weights of ``model`` as openseg's in-place-ABN layout names and scales them."""
    state, theirs = model.state_dict(), {}
    head = openseg.NETWORKS['hrnet_w48_ocr'].units('')
    for unit in [*networks.hrnet('backbone.', 'backbone.'), *head]:
        for ours, name in ((unit.target, unit.source), (unit.target_norm, unit.source_norm)):
            for entry in ('weight', 'bias', 'running_mean', 'running_var') if name else ():
                if f'{ours}.{entry}' in state:
                    theirs[f'module.{name}.{entry}'] = state[f'{ours}.{entry}'].clone()
        if unit.source_norm:
            theirs[f'module.{unit.source_norm}.weight'] = 1e-5 - state[f'{unit.target_norm}.weight']
    return theirs
