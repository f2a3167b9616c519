"""A test set of a few images with a segmentor for it, as files that any test script can run."""

import pprint
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from toy_run import CLASSES, LOADING, loader
from toy_segmentor import segmentor_config

from openseg_plugin.registry import MODELS

ROOT = Path(__file__).parents[2]


def write_images(folder: Path, *, number: int) -> Path:
    """``folder/val/{image,label}``: images of 36x48 pixels, classes in blocks of 12."""
    generator = np.random.default_rng(0)
    for kind in ('image', 'label'):
        (folder / 'val' / kind).mkdir(parents=True)
    for k in range(number):
        blocks = generator.integers(0, len(CLASSES), (3, 4), dtype=np.uint8)
        label = blocks.repeat(12, 0).repeat(12, 1)
        noise = generator.integers(0, 60, (*label.shape, 3), dtype=np.uint8)
        Image.fromarray(label[..., None] * 90 + noise).save(folder / 'val/image' / f'{k:02}.png')
        Image.fromarray(label).save(folder / 'val/label' / f'{k:02}.png')
    return folder


def write_test_set(
    folder: Path,
    *,
    number: int = 5,
    backbone: dict | None = None,
    head: dict | None = None,
    **changes,
) -> tuple[Path, Path]:
    """``folder/{toy.py,weights.pth,data/}``: config and checkpoint of a random network.

    Args:
        folder: existing folder.
        number: images of the test set.
        backbone: replaces the stand-in, which pools.
        head: options that replace those of the head.
        changes: names and values that replace those of the config.

    Returns:
        The config and the checkpoint.
    """
    data = write_images(folder / 'data', number=number)
    model = segmentor_config(num_classes=len(CLASSES), preprocessor=dict(bgr_to_rgb=True))
    model['backbone'] = backbone or model['backbone']
    model['decode_head'].update(head or {})
    test_dataloader = loader(data, 'val', [*LOADING, dict(type='PackSegInputs')], batch_size=1)
    settings = dict(
        _base_=[str(ROOT / 'configs' / '_base_' / 'default_runtime.py')],
        custom_imports=dict(imports=['openseg_plugin', 'small_models']),
        model=model,
        test_dataloader=test_dataloader,
        test_cfg=dict(type='TestLoop'),
        test_evaluator=dict(type='openseg_plugin.IoUMetric'),
        test_pipeline=test_dataloader['dataset']['pipeline'],
        tta_pipeline=[
            *LOADING,
            dict(type='openseg_plugin.MultiScaleViews', ratios=(0.5, 1.0)),
            dict(type='openseg_plugin.PackMultiScaleInputs'),
        ],
        tta_model=dict(type='openseg_plugin.MultiScaleFlip', merge='logits'),
        **changes,
    )
    config = folder / 'toy.py'
    lines = [f'{k} = {pprint.pformat(v, sort_dicts=False)}' for k, v in settings.items()]
    config.write_text('\n'.join(lines) + '\n')
    torch.manual_seed(1)
    network = MODELS.build(model)
    for name, parameter in network.named_parameters():
        torch.nn.init.zeros_(parameter) if 'bias' in name else torch.nn.init.normal_(parameter)
    meta = dict(dataset_meta=test_dataloader['dataset']['metainfo'])
    torch.save(dict(state_dict=network.state_dict(), meta=meta), folder / 'weights.pth')
    return config, folder / 'weights.pth'
