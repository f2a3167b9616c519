"""Models prepared to predict fast: the same function, and what is left as it is."""

import copy

import pytest
import torch
from mmengine.config import Config
from mmseg.structures import SegDataSample
from random_norms import shuffle_norms
from small_models import with_stand_in_backbone
from torch import nn

from openseg_plugin.errors import ConfigError
from openseg_plugin.models.prepared import Preparation, prepare
from openseg_plugin.paths import config_path
from openseg_plugin.registry import MODELS

CLASSES = 4
SIZE = (40, 72)
HEADS = (
    *('isa_r101', 'asp_ocr_r101', 'base_oc_r101', 'asp_oc_r101', 'ocr_hrnet48', 'ocr_b_hrnet48'),
    *('ce2p_asp_ocr_r101', 'ce2p_ocr_r101', 'fcn_hrnet48', 'fcn_r101', 'pspnet_r101_mmseg'),
    *('deeplabv3_r101_mmseg', 'danet_r101_mmseg', 'danet_r101_pytorchcv', 'ccnet_r101_mmseg'),
    *('bisenet_r18_mmseg', 'bisenet_r18_pytorchcv', 'hmsa_hrnet18', 'deeplabv3plus_wrn38'),
    *('ocr_hrnet48_mmseg', 'segfix_hrnet48'),
)
HRNET = dict(width=4, num_modules=(1, 1, 1), num_blocks=1)
BACKBONES = {
    'hrnet': dict(type='openseg_plugin.HRNet', **HRNET),
    'same padding': dict(type='openseg_plugin.HRNet', **HRNET, same_padding=True),
    'bands': dict(type='openseg_plugin.HRNet', **HRNET, in_channels=5),
    'one channel': dict(type='openseg_plugin.HRNet', **HRNET, in_channels=1),
    'resnet': dict(type='mmseg.ResNetV1c', depth=18, base_channels=4, stem_channels=4),
    'bottlenecks': dict(type='mmseg.ResNetV1c', depth=50, base_channels=4, stem_channels=4),
    'timm resnet': dict(type='openseg_plugin.TimmBackbone', model_name='resnet10t'),
    'timm norms with activation': dict(
        type='openseg_plugin.TimmBackbone', model_name='tf_efficientnet_lite0'
    ),
    'timm without norms': dict(
        type='openseg_plugin.TimmBackbone',
        model_name='convnext_atto',
        timm_args=dict(dims=(4, 8, 12, 16)),
    ),
}


def segmentor(base: str) -> nn.Module:
    """The heads of a base on a stand-in backbone, norms with statistics, in evaluation mode."""
    torch.manual_seed(0)
    model = Config.fromfile(config_path(f'_base_/models/{base}.py')).model
    if 'segfix' not in base:
        auxiliary = model.get('auxiliary_head') or []
        for head in [model.decode_head, *([auxiliary] if 'type' in auxiliary else auxiliary)]:
            head.num_classes = CLASSES
    return shuffle_norms(MODELS.build(with_stand_in_backbone(model))).eval()


def scores_of(model: nn.Module, images: torch.Tensor) -> list[torch.Tensor]:
    found = model.outputs(images) if hasattr(model, 'outputs') else model.decode(images)
    return list(found) if isinstance(found, tuple) else [found]


@pytest.mark.slow
@torch.no_grad()
def test_every_head_keeps_its_function():
    images = torch.randn(2, 3, *SIZE, dtype=torch.float64)
    for base in HEADS:
        model = segmentor(base).double()
        expected = scores_of(model, images)
        assert prepare(model) is model
        for one, other in zip(scores_of(model, images), expected, strict=True):
            torch.testing.assert_close(one, other, msg=lambda text, base=base: f'{base}: {text}')
        left = [m for m in model.decode_head.modules() if isinstance(m, nn.BatchNorm2d)]
        assert len(left) <= 2, f'{base}: norms that were not folded: {left}'


@torch.no_grad()
def test_every_backbone_keeps_its_function():
    for name, config in BACKBONES.items():
        torch.manual_seed(0)
        backbone = shuffle_norms(MODELS.build(config)).double()
        backbone.eval()
        images = torch.randn(1, config.get('in_channels', 3), *SIZE, dtype=torch.float64)
        expected = backbone(images)
        segmentor = nn.Module()
        segmentor.backbone = backbone
        prepare(segmentor)
        for one, other in zip(backbone(images), expected, strict=True):
            torch.testing.assert_close(one, other, msg=lambda text, name=name: f'{name}: {text}')


@torch.no_grad()
def test_exact_changes_no_bit():
    images = torch.randn(1, 3, *SIZE)
    model = segmentor('ocr_hrnet48')
    untouched = copy.deepcopy(model)
    prepare(model, Preparation(exact=True))
    assert torch.equal(model.decode(images), untouched.decode(images))
    before, after = untouched.state_dict(), model.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before | after)


@torch.no_grad()
@pytest.mark.skipif(
    not torch.ops.mkldnn._is_mkldnn_bf16_supported(), reason='no bfloat16 instructions'
)
def test_bf16_is_near_and_ends_in_float32():
    images = torch.randn(1, 3, *SIZE)
    for base in HEADS:
        model = segmentor(base)
        expected = scores_of(model, images)
        prepare(model, Preparation(precision='bf16'))
        for one, other in zip(scores_of(model, images), expected, strict=True):
            assert one.dtype == torch.float32, base
            assert float((one - other).norm() / other.norm()) < 0.05, base


@pytest.mark.parametrize(
    ('how', 'word'),
    [
        (Preparation(exact=True, precision='bf16'), '--exact'),
        (Preparation(exact=True, compiled=True), '--exact'),
        (Preparation(precision='fp8'), '--precision fp8'),
    ],
)
def test_options_that_exclude_each_other_are_named(how, word):
    with pytest.raises(ConfigError, match=word):
        how.check(torch.device('cpu'))


def test_precision_that_the_device_has_not_is_refused(monkeypatch):
    monkeypatch.setattr(torch.backends.mkldnn, 'is_available', lambda: False)
    with pytest.raises(ConfigError, match='--precision fp16: this cpu has no instructions'):
        Preparation(precision='fp16').check(torch.device('cpu'))


def test_compile_without_a_compiler_is_refused(monkeypatch):
    monkeypatch.setenv('PATH', '')
    monkeypatch.delenv('CXX', raising=False)
    with pytest.raises(ConfigError, match='C\\+\\+ compiler'):
        Preparation(compiled=True).check(torch.device('cpu'))


@torch.no_grad()
@pytest.mark.parametrize('exact', [True, False])
def test_stock_one_channel_model_stores_logits_and_keeps_its_labels(exact):
    head = dict(type='FCNHead', in_channels=4, in_index=0, channels=4, num_convs=1, num_classes=2)
    model = MODELS.build(
        dict(
            type='EncoderDecoder',
            data_preprocessor=dict(type='SegDataPreProcessor'),
            backbone=dict(type='openseg_plugin.StandInBackbone', channels=(4,), strides=(4,)),
            decode_head=dict(head, out_channels=1, threshold=0.3),
            test_cfg=Config(dict(mode='whole')),
        )
    ).eval()
    sample = SegDataSample(metainfo=dict(ori_shape=(16, 20), img_shape=(16, 20)))
    data = dict(inputs=[torch.randn(3, 16, 20)], data_samples=[sample])
    stored = model.test_step(copy.deepcopy(data))[0]
    found = prepare(model, Preparation(exact=exact)).test_step(copy.deepcopy(data))[0]
    torch.testing.assert_close(found.seg_logits.data.sigmoid(), stored.seg_logits.data)
    torch.testing.assert_close(found.pred_sem_seg.data, stored.pred_sem_seg.data)
