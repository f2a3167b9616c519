"""Weights made to fit a given model, or one error that says all that does not fit."""

import numpy as np
import published_layouts as layouts
import pytest
import torch

from openseg_plugin.converters.checkpoints import adapt, as_mmengine_checkpoint, convert
from openseg_plugin.errors import CheckpointError

OWN = {
    'backbone.conv.weight': (4, 3, 1, 1),
    'decode_head.x.conv.weight': (5, 4, 1, 1),
    'decode_head.x.bn.running_mean': (5,),
    'decode_head.x.bn.num_batches_tracked': (),
    'decode_head.conv_seg.weight': (7, 5, 1, 1),
    'decode_head.conv_seg.bias': (7,),
    'decode_head.region_seg.weight': (7, 5, 1, 1),
}
CLASSIFIER = [name for name in OWN if '_seg.' in name]


def tensors(shapes):
    return {name: torch.randn(shape) for name, shape in shapes.items()}


def changed(**shapes):
    return {**OWN, **{name.replace('__', '.'): shape for name, shape in shapes.items()}}


def published_shapes(weights=layouts.openseg_ocr):
    return {name: value.shape for name, value in convert(weights()).state_dict.items()}


def test_own_layout_passes_as_it_is():
    weights = tensors(OWN)
    fitted = adapt(weights, OWN)
    assert fitted.conversion is None
    assert fitted.state_dict.keys() == weights.keys()
    assert all(fitted.state_dict[name] is value for name, value in weights.items())


def test_step_counters_may_be_missing():
    weights = tensors(OWN)
    del weights['decode_head.x.bn.num_batches_tracked']
    assert adapt(weights, OWN).state_dict.keys() == weights.keys()


def test_bias_that_only_the_file_has_goes_into_the_running_mean():
    weights = tensors(changed(decode_head__x__conv__bias=(5,)))
    before = {name: value.clone() for name, value in weights.items()}
    state = adapt(weights, OWN).state_dict
    assert state.keys() == OWN.keys()
    mean, bias = 'decode_head.x.bn.running_mean', 'decode_head.x.conv.bias'
    torch.testing.assert_close(state[mean], before[mean] - before[bias])
    assert all(torch.equal(weights[name], before[name]) for name in before)  # not in place


def test_bias_of_another_length_than_its_norm_is_named_and_not_moved():
    with pytest.raises(CheckpointError, match=r'not known: decode_head\.x\.conv\.bias'):
        adapt(tensors(changed(decode_head__x__conv__bias=(2,))), OWN)


@pytest.mark.parametrize('kind', ['tensor', 'array'])
def test_bias_that_only_the_model_has_becomes_zero(kind):
    weights = tensors(OWN)
    if kind == 'array':
        weights = {name: value.numpy() for name, value in weights.items()}
    shapes = changed(decode_head__x__conv__bias=(5,))
    bias = adapt(weights, shapes).state_dict['decode_head.x.conv.bias']
    assert tuple(bias.shape) == (5,)
    assert not bias.any()


def test_published_weights_fit_the_other_conventions_of_bias():
    """openseg's file, whose convolutions have biases, in a model without, as mmseg builds it."""
    shapes = {k: v for k, v in published_shapes().items() if not k.endswith('.conv.bias')}
    weights = layouts.openseg_ocr()
    weights['conv3x3.0.bias'] = layouts.fill((512,), 3.0)
    fitted = adapt(weights, shapes)
    assert fitted.state_dict.keys() == shapes.keys()
    assert (fitted.state_dict['decode_head.bottleneck.bn.running_mean'] == 1 - 3).all()


def test_other_class_count_names_both_and_the_way_out():
    shapes = changed(decode_head__conv_seg__weight=(3, 5, 1, 1))
    with pytest.raises(CheckpointError, match=r'7 classes.*has 3.*drop_classifier=True') as caught:
        adapt(tensors(OWN), shapes)
    assert 'decode_head.conv_seg.weight' in str(caught.value)


def test_other_architecture_and_class_count_are_one_message():
    weights = tensors(
        changed(decode_head__conv_seg__weight=(3, 5, 1, 1), backbone__conv__weight=(4,))
    )
    with pytest.raises(CheckpointError) as caught:
        adapt(weights, OWN)
    assert '1 entry has another shape: backbone.conv.weight is 4 in the file' in str(caught.value)
    assert str(caught.value).endswith('it was trained for 3 classes, the model has 7')


def test_every_other_shape_is_listed_once_and_many_of_them_in_the_details():
    shapes = {f'backbone.layer{i}.weight': (2, 2) for i in range(100)}
    for count, listed in ((9, 9), (100, 6)):
        weights = tensors(shapes | dict.fromkeys(list(shapes)[:count], (3,)))
        with pytest.raises(CheckpointError, match=f'{count} entries have another shape') as caught:
            adapt(weights, shapes)
        text, lines = str(caught.value), caught.value.details.splitlines()
        assert text.count('3 in the file and 2x2 here') == listed
        assert [line.split()[2] for line in lines] == list(shapes)[:count]


def test_dropping_takes_exactly_the_classifier():
    shapes = {k: (3, *v[1:]) if k in CLASSIFIER else v for k, v in OWN.items()}
    fitted = adapt(tensors(OWN), shapes, drop_classifier=True)
    assert list(fitted.dropped_classifier) == CLASSIFIER
    assert fitted.state_dict.keys() == OWN.keys() - set(CLASSIFIER)


def test_file_without_classifier_needs_dropping():
    weights = {k: v for k, v in tensors(OWN).items() if k not in CLASSIFIER}
    assert adapt(weights, OWN, drop_classifier=True).state_dict.keys() == weights.keys()
    with pytest.raises(CheckpointError, match=r'missing.*drop_classifier=True'):
        adapt(weights, OWN)


def test_everything_that_does_not_fit_is_in_one_error():
    weights = tensors(changed(backbone__conv__weight=(4, 3, 3, 3), decode_head__new=(1,)))
    del weights['decode_head.x.bn.running_mean']
    with pytest.raises(CheckpointError) as caught:
        adapt(weights, OWN)
    for part in (
        '1 entry is not known: decode_head.new',
        '1 entry is missing: decode_head.x.bn.running_mean',
        'backbone.conv.weight is 4x3x3x3 in the file and 4x3x1x1 here',
    ):
        assert part in str(caught.value)


def test_partial_load_takes_what_is_there_but_no_other_shapes():
    weights = tensors({'backbone.conv.weight': (4, 3, 1, 1), 'other.weight': (1,)})
    assert adapt(weights, OWN, is_partial=True).state_dict.keys() == weights.keys()
    with pytest.raises(CheckpointError, match='2x3x1x1 in the file'):
        adapt(tensors({'backbone.conv.weight': (2, 3, 1, 1)}), OWN, is_partial=True)


def test_published_weights_of_another_network_name_the_config_that_fits():
    shapes = published_shapes()
    with pytest.raises(CheckpointError) as caught:
        adapt(layouts.hrnet_plain(), shapes)
    for part in ('seg_hrnet of hrnet_ocr', 'configs/fcn/hrnet48_hrnetocr_cityscapes_484e.py'):
        assert part in str(caught.value)
    assert len(str(caught.value)) < 1500


def test_unfinished_numbers_are_refused_in_our_own_layout_too():
    weights = tensors(OWN)
    weights['backbone.conv.weight'][0] = float('nan')
    with pytest.raises(CheckpointError, match='NaN or infinity'):
        adapt(weights, OWN)


@pytest.mark.parametrize(
    'weights', [layouts.openseg_ocr, layouts.hrnet_ocr, layouts.hrnet_imagenet]
)
def test_backbone_takes_its_part_of_any_file(weights):
    shapes = {
        name.removeprefix('backbone.'): shape
        for name, shape in published_shapes().items()
        if name.startswith('backbone.')
    }
    fitted = adapt(weights(), shapes, part='backbone')
    assert fitted.state_dict.keys() == shapes.keys()


def test_backbone_takes_its_part_of_our_own_file():
    shapes = {'conv.weight': (4, 3, 1, 1)}
    assert adapt(tensors(OWN), shapes, part='backbone').state_dict.keys() == shapes.keys()


def test_backbone_file_for_a_whole_model_says_where_it_belongs():
    with pytest.raises(CheckpointError, match=r'backbone alone.*init_cfg=dict\(type=.Pretrained'):
        adapt(layouts.hrnet_imagenet(), published_shapes())


def test_resnet_with_another_stem_width_names_the_entry():
    shapes = {k: v.shape for k, v in convert(layouts.resnet_imagenet()).state_dict.items()}
    narrow = layouts.resnet_imagenet()
    narrow['conv3.weight'] = layouts.fill((64, 64, 3, 3))
    with pytest.raises(CheckpointError, match=r'stem\.6\.weight is 64x64x3x3.*128x64x3x3'):
        adapt(narrow, shapes, part='backbone')


@pytest.mark.parametrize(
    'given',
    [
        {'w': 1},
        {'state_dict': {'w': 1}},
        {'model': {'w': 1}, 'epoch': 2},
        {'state_dict': {'w': 1}, 'meta': {'iter': 5}},
    ],
)
def test_mmengine_finds_weights_and_meta(given):
    made = as_mmengine_checkpoint(given)
    assert made['state_dict'] == {'w': 1}
    assert made['meta'] == given.get('meta', {})
    assert made.get('epoch') == given.get('epoch')


def test_numpy_arrays_stay_numpy_arrays():
    state = adapt(layouts.openseg_ocr(), published_shapes()).state_dict
    assert all(isinstance(value, np.ndarray) for value in state.values())
