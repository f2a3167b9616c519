"""A segmentor of two convolutions for the tests of prediction: ours, or mmseg's own, alike."""

from pathlib import Path

import numpy as np
import small_models  # noqa: F401  registers StandInBackbone
import torch
import toy_run
from mmengine.config import ConfigDict
from mmengine.registry import init_default_scope
from torch import nn

from openseg_plugin.registry import MODELS


def segmentor_config(
    kind: str = 'openseg_plugin.EncoderDecoder',
    *,
    num_classes: int = 5,
    out_channels: int | None = None,
    align_corners: bool = False,
    test_cfg: dict | None = None,
    preprocessor: dict | None = None,
    norm: str = 'BN',
) -> dict:
    """Config of a segmentor with maps at strides 4 and 8."""
    head = dict(
        type='openseg_plugin.FCNHead' if kind.startswith('openseg') else 'mmseg.FCNHead',
        in_channels=4,
        channels=6,
        in_index=0,
        num_classes=num_classes,
        out_channels=out_channels or num_classes,
        align_corners=align_corners,
        norm_cfg=dict(type=norm),
        threshold=0.5,
    )
    if not kind.startswith('openseg'):
        head.update(num_convs=1, concat_input=False)
    return dict(
        type=kind,
        backbone=dict(type='openseg_plugin.StandInBackbone', channels=(4, 6), strides=(4, 8)),
        decode_head=head,
        test_cfg=test_cfg or dict(mode='whole'),
        data_preprocessor=dict(
            type='mmseg.SegDataPreProcessor',
            mean=[120.0, 110.0, 100.0],
            std=[50.0, 60.0, 70.0],
            **(preprocessor or {}),
        ),
    )


def config_of_test(folder: Path, data: Path, **changes: object) -> Path:
    """``folder/toy.py`` of a segmentor for the three classes of ``data``, with a test; its path."""
    steps = [*toy_run.LOADING, dict(type='PackSegInputs')]
    settings = dict(
        model=segmentor_config(num_classes=3, preprocessor=dict(size=(12, 16))),
        test_dataloader=toy_run.loader(data, 'val', steps, batch_size=1),
        test_evaluator=dict(type='openseg_plugin.IoUMetric'),
        custom_imports=dict(imports=['openseg_plugin', 'small_models', 'toy_run']),
    )
    return toy_run.toy_config(folder, data, **{**settings, **changes})


def toy_segmentor(*arguments: str, **options: object) -> nn.Module:
    """The segmentor of :func:`segmentor_config` in eval mode, with always the same weights."""
    init_default_scope('mmseg')
    torch.manual_seed(7)
    model = MODELS.build(ConfigDict(segmentor_config(*arguments, **options)))
    for parameter in model.parameters():
        nn.init.normal_(parameter)
    return model.eval()


def image(height: int = 45, width: int = 61) -> np.ndarray:
    """Smooth noise, (height, width, 3) uint8."""
    generator = torch.Generator().manual_seed(height * width)
    coarse = torch.rand(1, 3, 9, 11, generator=generator)
    fine = nn.functional.interpolate(coarse, (height, width), mode='bicubic').clamp(0, 1)
    return (fine[0].permute(1, 2, 0) * 255).byte().numpy()
