"""Whose file it is, what becomes of every entry, and the config that fits."""

import numpy as np
import published_layouts as layouts
import pytest
import torch
from in_one_test import in_one_test

from openseg_plugin.converters.checkpoints import adapt, convert, identify
from openseg_plugin.errors import CheckpointError
from openseg_plugin.paths import config_path

OCR_BIAS = 'decode_head.bottleneck.conv.bias'


@in_one_test(
    ('weights', 'source', 'network', 'layout', 'config'),
    [
        (layouts.openseg_ocr, 'openseg', 'hrnet_w48_ocr', 'inplace_abn',
         'ocr/hrnet48_iabn_cityscapes_80k.py'),
        (layouts.openseg_ocr_nested, 'openseg', 'hrnet_w48_ocr', 'batchnorm',
         'ocr/hrnet48_bgr_cityscapes_80k.py'),
        (layouts.openseg_r101, 'openseg', 'spatial_ocrnet', 'batchnorm',
         'ocr/r101_bgr_cityscapes_40k.py'),
        (layouts.hrnet_ocr, 'hrnet_ocr', 'seg_hrnet_ocr', 'batchnorm',
         'ocr/hrnet48_hrnetocr_cityscapes_484e.py'),
        (layouts.hrnet_plain, 'hrnet_ocr', 'seg_hrnet', 'batchnorm',
         'fcn/hrnet48_hrnetocr_cityscapes_484e.py'),
        (layouts.hrnet_imagenet, 'imagenet', 'hrnet48', 'batchnorm',
         'ocr/hrnet48_cityscapes_80k.py'),
        (layouts.resnet_imagenet, 'imagenet', 'resnet101', 'batchnorm',
         'ocr/r101_cityscapes_40k.py'),
    ],
)  # fmt: skip
def test_source_layout_and_config_are_found(weights, source, network, layout, config):
    conversion = convert(weights())
    assert (conversion.source.name, conversion.source.network) == (source, network)
    assert conversion.norm_layout == layout
    assert conversion.config == config
    assert config_path(conversion.config).is_file()


def test_tensors_and_arrays_give_the_same_and_stay_what_they_were():
    arrays = layouts.openseg_ocr()
    as_arrays = convert(arrays).state_dict
    as_tensors = convert(layouts.as_tensors(arrays)).state_dict
    assert as_arrays.keys() == as_tensors.keys()
    assert all(isinstance(value, np.ndarray) for value in as_arrays.values())
    for name, value in as_tensors.items():
        assert isinstance(value, torch.Tensor)
        np.testing.assert_array_equal(value.numpy(), as_arrays[name])


@pytest.mark.parametrize('wrap', [
    lambda weights: {'state_dict': weights, 'config_dict': {'any': 1}},
    lambda weights: {'model': weights, 'epoch': 3},
    lambda weights: layouts.with_prefix('module.', weights),
])  # fmt: skip
def test_wrapped_weights_are_found(wrap):
    weights = layouts.openseg_ocr()
    assert convert(wrap(weights)).state_dict.keys() == convert(weights).state_dict.keys()


def test_inplace_abn_scale_becomes_its_absolute_value_plus_eps():
    weights = layouts.openseg_ocr()
    weights['conv3x3.1.weight'] = np.linspace(-1, 1, 512).astype('float32')
    weights['backbone.bn1.weight'] = np.full(64, -0.5, 'float32')
    state = convert(weights).state_dict
    np.testing.assert_allclose(
        state['decode_head.bottleneck.bn.weight'], abs(np.linspace(-1, 1, 512)) + 1e-5, rtol=1e-6
    )
    assert state['backbone.bn1.weight'] == pytest.approx(0.50001)
    assert state['backbone.bn1.num_batches_tracked'] == 0


def test_batch_norm_scale_and_counter_stay():
    weights = layouts.openseg_ocr_nested()
    weights['conv3x3.1.0.weight'] = np.full(512, -0.5, 'float32')
    state = convert(weights).state_dict
    assert (state['decode_head.bottleneck.bn.weight'] == -0.5).all()
    assert state['decode_head.bottleneck.bn.num_batches_tracked'] == 7


def test_classifier_without_bias_gets_zeros():
    """``hrnet_w48``: made from the backbone of the OCR network."""
    weights = {k: v for k, v in layouts.openseg_ocr().items() if k.startswith('backbone.')}
    norm = {k: layouts.fill((720,)) for k in ('weight', 'bias', 'running_mean', 'running_var')}
    weights |= layouts.with_prefix('cls_head.1.', norm)
    weights['cls_head.0.weight'] = layouts.fill((720, 720, 3, 3))
    weights['cls_head.0.bias'] = layouts.fill((720,))
    weights['cls_head.3.weight'] = layouts.fill((19, 720, 1, 1))
    conversion = convert(weights)
    assert conversion.source.network == 'hrnet_w48'
    assert conversion.config == 'fcn/hrnet48_iabn_cityscapes_80k.py'
    assert conversion.cfg_options == {}
    bias = conversion.state_dict['decode_head.conv_seg.bias']
    assert bias.shape == (19,)
    assert not bias.any()


@pytest.mark.parametrize('weights', [
    layouts.openseg_ocr, layouts.openseg_r101, layouts.hrnet_ocr, layouts.resnet_imagenet,
])  # fmt: skip
def test_unknown_and_missing_entries_are_listed_together(weights):
    broken = weights()
    missing = [name for name in broken if 'layer1.0.' in name and 'tracked' not in name][:3]
    for name in missing:
        del broken[name]
    prefix = 'backbone.' if 'backbone.conv1.weight' in broken or missing[0][:2] == 'ba' else ''
    broken |= {f'{prefix}layer1.0.extra{i}.weight': layouts.fill((2,)) for i in range(9)}
    with pytest.raises(CheckpointError) as caught:
        convert(broken)
    message = str(caught.value)
    assert '9 entries are not known' in message
    assert all(message.count(f'layer1.0.extra{i}.weight') == 1 for i in range(9))
    assert '3 entries are missing' in message
    assert all(name in message for name in missing)
    assert '\n' not in message


@in_one_test(
    ('name', 'shape', 'said'),
    [
        ('cls_head.weight', (19,), 'cls_head.weight is 19, not of 4 dimensions'),
        ('conv3x3.0.bias', (7,), 'bottleneck.conv.bias is 7 in the file and 512 here'),
        ('conv3x3.1.running_mean', (), 'running_mean is a single number, not of 1 dimensions'),
    ],
)
@in_one_test('kind', [dict, layouts.as_tensors], ids=['arrays', 'tensors'])
def test_array_that_cannot_be_what_its_name_says_is_named(name, shape, said, kind):
    model = {k: v.shape for k, v in convert(layouts.openseg_ocr()).state_dict.items()}
    with pytest.raises(CheckpointError) as caught:
        adapt(kind({**layouts.openseg_ocr(), name: layouts.fill(shape)}), model)
    assert said in str(caught.value)


def test_hundreds_of_entries_are_shortened_in_the_sentence_and_whole_in_the_details():
    extra = {f'backbone.extra{i}.weight': layouts.fill((2,)) for i in range(300)}
    with pytest.raises(CheckpointError, match=r'300 entries .* 294 more \(--debug') as caught:
        convert({**layouts.openseg_ocr(), **extra})
    lines = caught.value.details.splitlines()
    assert lines == [f'not known: {name}' for name in extra]


def test_unknown_network_is_refused_with_its_first_entries():
    weights = {'stem.weight': layouts.fill((2, 2)), 'fc.bias': layouts.fill((2,))}
    assert identify(weights) is None
    with pytest.raises(CheckpointError, match=r'stem, fc .*stem\.weight.*nvidia, op'):
        convert(weights)


@pytest.mark.parametrize('number', [np.nan, np.inf])
def test_numbers_that_are_not_finite_are_refused(number):
    weights = layouts.openseg_ocr()
    weights['conv3x3.0.bias'] = layouts.fill((512,), number)
    for given in (weights, layouts.as_tensors(weights)):
        with pytest.raises(CheckpointError, match=r'NaN or infinity.*conv3x3\.0\.bias'):
            convert(given)


def test_what_is_no_array_is_refused():
    with pytest.raises(CheckpointError, match='epoch'):
        convert({'epoch': 3, 'best': 0.5})
    with pytest.raises(CheckpointError, match='holds nothing'):
        convert({})


@in_one_test('prefix', ['', 'model.', 'module.model.', 'module.'])
@in_one_test('has_loss', [False, True])
def test_hrnet_ocr_wrapper_and_loss_weights_are_taken_off(prefix, has_loss):
    weights = layouts.with_prefix(prefix, layouts.hrnet_ocr())
    loss = prefix.removesuffix('model.') + 'loss.criterion.weight'
    if has_loss:
        weights[loss] = layouts.fill((20,))
    conversion = convert(weights)
    assert conversion.state_dict.keys() == convert(layouts.hrnet_ocr()).state_dict.keys()
    assert list(conversion.dropped) == ['loss.criterion.weight'] * has_loss


@pytest.mark.parametrize('weights', [layouts.hrnet_ocr, layouts.hrnet_plain])
def test_torch04_files_of_hrnet_ocr_have_inplace_abn_scales_and_plain_relu(weights):
    old = layouts.without(weights(), '.num_batches_tracked')
    old['bn1.weight'] = np.full(64, -0.5, 'float32')
    conversion = convert(old)
    assert conversion.norm_layout == 'inplace_abn'
    assert not conversion.has_leaky_head
    assert conversion.config == convert(weights()).config
    assert conversion.state_dict['backbone.bn1.weight'] == pytest.approx(0.50001)
    assert conversion.state_dict.keys() == convert(weights()).state_dict.keys()


@in_one_test(
    ('num_classes', 'is_aligned'),
    [(19, False), (20, False), (59, False), (60, False), (150, True), (171, True)],
)
def test_plain_hrnet_of_each_data_set(num_classes, is_aligned):
    conversion = convert(layouts.hrnet_plain(num_classes))
    assert conversion.num_classes == num_classes
    assert conversion.align_corners == is_aligned
    options = conversion.cfg_options
    assert options.get('model.backbone.align_corners', False) == is_aligned
    assert options.get('model.decode_head.num_classes', 19) == num_classes
    assert ('model.decode_head.loss_decode.class_weight' in options) == (num_classes != 19)


@pytest.mark.parametrize('width', [18, 32])
@pytest.mark.parametrize('weights', [layouts.openseg_ocr, layouts.hrnet_ocr])
def test_other_widths_and_classes_are_told_from_shapes(weights, width):
    sizes = {48 * k: width * k for k in (1, 2, 4, 8, 15)}
    conversion = convert(layouts.resized(weights(), sizes | {19: 11, 20: 11}))
    assert conversion.backbone == f'hrnet{width}'
    assert conversion.num_classes == 11
    options = conversion.cfg_options
    assert options['model.backbone.width'] == width
    assert options['model.decode_head.in_channels'] == [width * k for k in (1, 2, 4, 8)]
    assert options['model.decode_head.region.channels'] == 15 * width
    assert options['model.decode_head.loss_region.class_weight'] is None
    assert f'model.backbone.width={width}' in conversion.command


def test_half_the_head_width_is_ocr_b():
    sizes = {512: 256, 256: 128, 1024: 512}
    narrow = {
        k: v if k.startswith('backbone.') else layouts.fill(tuple(sizes.get(s, s) for s in v.shape))
        for k, v in layouts.openseg_ocr().items()
    }
    for name, value in narrow.items():  # its auxiliary head is narrow as well
        if name.startswith('aux_head'):
            shape = tuple(256 if s == 720 and i == 0 else s for i, s in enumerate(value.shape))
            narrow[name] = layouts.fill(shape)
    narrow['aux_head.2.weight'] = layouts.fill((19, 256, 1, 1))
    conversion = convert(narrow)
    assert conversion.source.network == 'hrnet_w48_ocr_b'
    assert conversion.config == 'ocr_b/hrnet48_iabn_cityscapes_80k.py'
    assert conversion.cfg_options == {}


def test_lip_resnet_has_a_mean_of_its_own():
    conversion = convert(layouts.resized(layouts.openseg_r101(), {19: 20}))
    assert conversion.preprocessing.mean == (104.00698793, 116.66876762, 122.67891434)
    assert conversion.cfg_options['model.data_preprocessor.mean'] == list(
        conversion.preprocessing.mean
    )
