"""ImageNet weights: backbones alone, stems by any name, classification heads left out."""

import numpy as np
import published_layouts as layouts
import pytest
from in_one_test import in_one_test

from openseg_plugin.converters.checkpoints import convert, paddle_networks
from openseg_plugin.errors import CheckpointError


def test_classification_head_is_dropped_with_a_reason():
    conversion = convert(layouts.hrnet_imagenet())
    assert conversion.is_backbone
    assert 'conv1.weight' in conversion.state_dict
    assert set(conversion.dropped) == {
        f'{name}.weight'
        for name in (
            'incre_modules.0.0.conv1',
            'downsamp_modules.1.0',
            'final_layer.0',
            'classifier',
        )
    }
    assert all('classification head' in reason for reason in conversion.dropped.values())


@pytest.mark.parametrize('form', ['flat', 'resinit', 'stem'])
def test_stems_of_resnets_are_renamed(form):
    weights = layouts.resnet_imagenet()
    expected = convert(weights).state_dict
    assert {'stem.0.weight', 'stem.4.running_mean', 'stem.7.bias'} <= expected.keys()
    if form != 'flat':
        names = {'conv1': 'stem.0', 'bn1': 'stem.1', 'conv2': 'stem.3', 'bn2': 'stem.4',
                 'conv3': 'stem.6', 'bn3': 'stem.7'}  # fmt: skip
        weights = {
            (names[k.split('.')[0]] if form == 'stem' else f'resinit.{k.split(".")[0]}')
            + k[k.index('.') :]
            if k.split('.')[0] in names
            else k: v
            for k, v in weights.items()
        }
    assert convert(weights).state_dict.keys() == expected.keys()


def test_v1s_files_of_the_zoo_keep_everything_in_one_list():
    weights = layouts.resnet_imagenet()
    stem = {'conv1': 0, 'bn1': 1, 'conv2': 3, 'bn2': 4, 'conv3': 6, 'bn3': 7}
    places = {**stem, **{f'layer{stage}': 9 + stage for stage in (1, 2, 3, 4)}}

    def renamed(name):
        module, rest = name.split('.', 1)
        return f'features.{places[module]}.{rest}' if module in places else name

    listed = {renamed(name): value for name, value in weights.items()}
    expected = convert(weights)
    conversion = convert(listed)
    assert (conversion.source, conversion.backbone) == (expected.source, expected.backbone)
    assert conversion.state_dict.keys() == expected.state_dict.keys()


def test_old_imagenet_files_are_plain_batch_norm_without_counters():
    weights = layouts.without(layouts.hrnet_imagenet(), '.num_batches_tracked')
    weights['bn1.weight'] = np.full(64, -0.5, 'float32')
    conversion = convert(weights)
    assert conversion.norm_layout == 'batchnorm'
    assert (conversion.state_dict['bn1.weight'] == -0.5).all()
    assert conversion.state_dict['bn1.num_batches_tracked'] == 0


def test_resnet_with_one_large_stem_convolution_is_refused():
    weights = layouts.resnet_imagenet()
    for name in [
        name for name in weights if name[:5] in ('conv2', 'conv3') or name[:3] in ('bn2', 'bn3')
    ]:
        del weights[name]
    with pytest.raises(CheckpointError, match='stem of three 3x3'):
        convert(weights)


def of_paddle(units) -> dict[str, np.ndarray]:
    """What Paddle saves for a table: no counters, its own names of the statistics."""
    weights = {}
    for unit in units:
        weights[f'{unit.source}.weight'] = layouts.fill((18, 3, 1, 1))
        for entry in ('weight', 'bias', '_mean', '_variance'):
            weights[f'{unit.source_norm}.{entry}'] = layouts.fill((18,))
    return weights


SMALL = paddle_networks.HRNetKind(**paddle_networks.SMALL)
SMALL_V1 = paddle_networks.HRNetKind(**paddle_networks.SMALL_V1)


@in_one_test('prefix', ['', 'backbone.'])
@in_one_test(
    ('units', 'options', 'backbone', 'config'),
    [
        (paddle_networks.hrnet, {}, 'hrnet18', 'ocr/hrnet48_cityscapes_80k.py'),
        (paddle_networks.hrnet, {'kind': SMALL}, 'hrnet18s', 'ocr/hrnet48_cityscapes_80k.py'),
        (paddle_networks.hrnet, {'kind': SMALL_V1}, 'hrnet18s1', 'ocr/hrnet48_cityscapes_80k.py'),
        (paddle_networks.resnet_vd, {'depth': 50}, 'resnet50vd',
         'isa/r50vd_paddleseg_cityscapes_80k.py'),
        (paddle_networks.resnet_vd, {'depth': 101}, 'resnet101vd',
         'isa/r101vd_paddleseg_cityscapes_80k.py'),
    ],
)  # fmt: skip
def test_backbone_of_paddle_loses_its_classifier(units, options, backbone, config, prefix):
    weights = of_paddle(units(prefix, '', **options))
    weights[f'{prefix}out.weight'] = layouts.fill((2048, 1000))
    conversion = convert(weights)
    assert (conversion.source.name, conversion.backbone) == ('imagenet', backbone)
    assert conversion.is_backbone and conversion.config == config
    assert set(conversion.dropped) == {'out.weight'}
    expected = {unit.target for unit in units('', '', **options)}
    assert {name.rpartition('.')[0] for name in conversion.state_dict} > expected


def test_backbone_of_paddle_that_lacks_an_entry_is_refused():
    weights = of_paddle(paddle_networks.resnet_vd('', '', depth=50))
    del weights['bb_2_3.conv1._batch_norm._variance']
    with pytest.raises(CheckpointError, match=r'missing: bb_2_3\.conv1\._batch_norm\.running_var'):
        convert(weights)
