"""One scale without flips is the single-scale test: every leaf's preprocessing, and options."""

import json

import numpy as np
import pytest
import torch
from in_one_test import in_one_test
from leaves import CLASSIFIERS, load
from mmengine.config import ConfigDict
from mmseg.registry import TRANSFORMS
from mmseg.structures import SegDataSample
from small_models import StandInBackbone  # noqa: F401  registers it
from toy_segmentor import image

from openseg_plugin.cli.test import build_parser
from openseg_plugin.engine.runner.testing import _set_views
from openseg_plugin.inference.protocol_models import pytorchcv_multi_scale
from openseg_plugin.registry import MODELS

PREPROCESSORS = {
    'own mean': dict(mean=[10.0, 20.0, 30.0], std=[5.0, 6.0, 7.0]),
    'own order': dict(mean=[100.0] * 3, std=[50.0] * 3, rgb_to_bgr=True),
    'padded': dict(mean=[100.0] * 3, std=[50.0] * 3, test_cfg=dict(size_divisor=32)),
    'four channels': dict(mean=[100.0] * 4, std=[50.0] * 4),
}


def segmentor(preprocessor: dict, *, channels: int = 3, align_corners: bool = True) -> dict:
    """Config of a network that the least change of its input shows in."""
    return dict(
        type='openseg_plugin.EncoderDecoder',
        backbone=dict(
            type='openseg_plugin.StandInBackbone', channels=(4,), strides=(4,), inputs=channels
        ),
        decode_head=dict(
            type='openseg_plugin.FCNHead',
            in_channels=4,
            channels=6,
            num_classes=7,
            align_corners=align_corners,
        ),
        data_preprocessor=preprocessor,
    )


def runner_like(model: dict, top_level: dict | None, **wrapper: object) -> torch.nn.Module:
    """The model as mmengine builds it: its runner hands the top-level preprocessor on."""
    cfg = ConfigDict(wrapper, module=model) if wrapper else ConfigDict(model)
    if top_level is not None:
        cfg.setdefault('data_preprocessor', ConfigDict(top_level))
    torch.manual_seed(3)
    return MODELS.build(cfg).eval()


def labels_of(model: torch.nn.Module, pipeline: list[dict], pixels: np.ndarray) -> torch.Tensor:
    """What the model predicts of an image in memory, which takes the place of a loaded one."""
    results = dict(img=pixels, img_path='a.png', ori_shape=pixels.shape[:2])
    results.update(img_shape=pixels.shape[:2])
    for step in pipeline:
        if '.Load' not in f'.{step["type"]}':
            results = TRANSFORMS.build(step)(results)
    multiple = isinstance(results['inputs'], list)
    data = {
        key: [[one] for one in value] if multiple else [value] for key, value in results.items()
    }
    with torch.no_grad():
        return model.test_step(data)[0].pred_sem_seg.data


def distinct_leaves() -> list:
    """One leaf for everything that happens to an image between its file and the network."""
    seen = {}
    for leaf in CLASSIFIERS:
        cfg = load(leaf)
        own = {k: v for k, v in cfg.model.data_preprocessor.items() if k != 'size'}
        parts = (own, cfg.test_dataloader.dataset.pipeline, cfg.tta_pipeline, cfg.tta_model)
        seen.setdefault(json.dumps(parts, sort_keys=True, default=str), leaf)
    return sorted(seen.values())


@pytest.mark.slow
def test_leaf_predicts_alike_with_and_without_aug_test(subtests):
    for leaf in distinct_leaves():
        with subtests.test(leaf=leaf):
            check_leaf(leaf)


def check_leaf(leaf: str) -> None:
    """Equal labels; where another padding or size is published for --aug-test, with that one."""
    cfg = load(leaf)
    single = [step for step in cfg.test_dataloader.dataset.pipeline]
    own = cfg.model.data_preprocessor
    args = build_parser().parse_args(['c.py', 'w.pth', '--aug-test', '--scales', '1', '--no-flip'])
    cfg.model = ConfigDict(segmentor(own))
    _set_views(cfg, args)
    wrapper = {k: v for k, v in cfg.model.items() if k != 'module'}
    views = cfg.test_dataloader.dataset.pipeline
    reference = own
    if 'size_divisor' in wrapper:  # published with another padding at multiple scales
        reference = {**own, 'test_cfg': dict(size_divisor=wrapper['size_divisor'])}
    model = runner_like(segmentor(reference), cfg.get('data_preprocessor'))
    augmented = runner_like(segmentor(own), cfg.get('data_preprocessor'), **wrapper)
    before, after = model.data_preprocessor, augmented.module.data_preprocessor
    assert before.mean.tolist() == after.mean.tolist()
    assert before.std.tolist() == after.std.tolist()
    assert before.swap_channels == after.swap_channels
    assert before.test_cfg == after.test_cfg
    pixels = image(70, 93)
    if wrapper['type'].endswith('PytorchCVMultiScale'):  # scales and windows of its own
        expected = labels_in_windows(model, wrapper, pixels)
    else:
        # published with the image's own size at scale 1 where the views lack the resize
        is_same_size = len(views) > len(single)
        pipeline = single if is_same_size else [dict(type='PackSegInputs')]
        expected = labels_of(model, pipeline, pixels)
    assert expected.unique().numel() > 1
    assert torch.equal(labels_of(augmented, views, pixels), expected)


def labels_in_windows(model: torch.nn.Module, wrapper: dict, pixels: np.ndarray) -> torch.Tensor:
    """What pytorch-cv's test makes of an image, channels and their scale worked out by hand."""
    made = model.data_preprocessor
    channels = pixels[..., ::-1] if made.swap_channels else pixels
    mean, std = (value.flatten().numpy() for value in (made.mean, made.std))
    normalized = torch.from_numpy((channels.astype(np.float32) - mean) / std)
    with torch.no_grad():
        scores = pytorchcv_multi_scale(
            model.encode_decode,
            normalized.permute(2, 0, 1)[None],
            base_size=wrapper['base_size'],
            crop_size=wrapper['crop_size'],
            pad_value=(-mean / std).tolist(),
            flip=False,
        )
    return scores.argmax(dim=1)


@in_one_test('wrapper', ['MultiScaleFlip', 'OpenSegMultiScale'])
@in_one_test('name', PREPROCESSORS)
def test_options_of_the_models_own_preprocessor_count(name, wrapper):
    own = dict(type='openseg_plugin.SegDataPreProcessor', **PREPROCESSORS[name])
    top = dict(type='openseg_plugin.SegDataPreProcessor', mean=[1.0] * 3, std=[9.0] * 3)
    channels = len(own['mean'])
    pixels = np.concatenate([image(40, 57), image(40, 57)[::-1]], axis=2)[..., :channels]
    model = runner_like(segmentor(own, channels=channels), top)
    augmented = runner_like(
        segmentor(own, channels=channels),
        top,
        type=f'openseg_plugin.{wrapper}',
        flip=False,
    )
    plain = [dict(type='PackSegInputs')]
    views = [
        dict(type='openseg_plugin.MultiScaleViews', ratios=(1.0,)),
        dict(type='openseg_plugin.PackMultiScaleInputs'),
    ]
    expected = labels_of(model, plain, pixels)
    assert expected.unique().numel() > 1
    assert torch.equal(labels_of(augmented, views, pixels), expected)


@pytest.mark.parametrize('size', [(40, 57), (33, 41)])
def test_mmsegs_own_test_time_augmentation_takes_our_predictions(size):
    own = dict(type='openseg_plugin.SegDataPreProcessor', mean=[100.0] * 3, std=[50.0] * 3)
    model = runner_like(segmentor(own), None)
    stock = MODELS.build(dict(type='mmseg.SegTTAModel', module=model))
    pixels = torch.from_numpy(image(*size)).permute(2, 0, 1)
    sample = SegDataSample(metainfo=dict(ori_shape=size, img_shape=size, img_path='a.png'))
    with torch.no_grad():
        (merged,) = stock.test_step({'inputs': [[pixels]], 'data_samples': [[sample]]})
        (plain,) = model.test_step({'inputs': [pixels], 'data_samples': [sample]})
    assert torch.equal(merged.pred_sem_seg.data.reshape(size), plain.pred_sem_seg.data[0])
