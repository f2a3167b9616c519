"""What the benchmarks compute on: smooth random scores and images, segmentors of both kinds."""

import torch
import torch.nn.functional as F
from mmengine.config import ConfigDict
from mmengine.registry import init_default_scope
from torch import Tensor, nn

from benchmarks.core import Setting
from openseg_plugin.registry import MODELS


def smooth(
    shape: tuple[int, int, int, int], *, cell: int = 8, noise: float = 0.3, seed: int = 0
) -> Tensor:
    """Noise that changes over about ``cell`` pixels, with some finer noise: like scores."""
    generator = torch.Generator().manual_seed(seed)
    number, channels, height, width = shape
    coarse = torch.randn(
        number, channels, height // cell + 2, width // cell + 2, generator=generator
    )
    fine = torch.randn(shape, generator=generator)
    return F.interpolate(coarse, (height, width), mode='bicubic') * 3 + fine * noise


def segmentors(setting: Setting, **test_cfg) -> tuple[nn.Module, nn.Module]:
    """mmseg's and our segmentor around the same small head; only their prediction is measured."""
    init_default_scope('mmseg')
    built = []
    for kind in ('mmseg.EncoderDecoder', 'openseg_plugin.EncoderDecoder'):
        config = dict(
            type=kind,
            backbone=dict(type='mmseg.ResNetV1c', depth=18, base_channels=4, stem_channels=4),
            decode_head=dict(
                type='mmseg.FCNHead',
                in_channels=32,
                channels=32,
                num_convs=0,
                concat_input=False,
                num_classes=setting.classes,
                align_corners=False,
            ),
            data_preprocessor=dict(type='mmseg.SegDataPreProcessor'),
            test_cfg=dict(mode='whole', **test_cfg),
        )
        built.append(MODELS.build(ConfigDict(config)).eval().to(setting.device))
    return built[0], built[1]
