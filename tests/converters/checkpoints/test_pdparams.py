"""Files of ``paddle.save``: what is in them, and Paddle's names of layers."""

import json
import pickle
from pathlib import Path

import fixture_files
import numpy as np
import pytest
from in_one_test import in_one_test
from parity import stored

from openseg_plugin.converters.checkpoints import (
    convert,
    networks,
    paddle_networks,
    read_checkpoint,
)
from openseg_plugin.converters.checkpoints.keys import as_mmengine_checkpoint, weights_of
from openseg_plugin.converters.checkpoints.reader import NAME_TABLE
from openseg_plugin.errors import CheckpointError

ARRAYS = {'a.weight': np.ones((2, 3), 'float32'), 'a.bias': np.zeros(2, 'float32')}
TABLE = {NAME_TABLE: {'a.weight': 'linear_0.w_0', 'a.bias': 'linear_0.b_0'}}
PAIRS = {name: (f'x_{name}', value) for name, value in ARRAYS.items()}


@in_one_test('protocol', [2, 4])
@in_one_test(
    'saved',
    [ARRAYS, {**ARRAYS, **TABLE}, {'model': PAIRS, 'iter': 7}],
    ids=['bare', 'table', 'nest'],
)
def test_weights_of_a_pdparams_file_are_its_arrays(tmp_path, saved, protocol):
    path = tmp_path / 'model.pdparams'
    path.write_bytes(pickle.dumps(saved, protocol=protocol))
    checkpoint = read_checkpoint(path)
    for weights in (weights_of(checkpoint), as_mmengine_checkpoint(checkpoint)['state_dict']):
        assert weights.keys() == ARRAYS.keys()
        assert all(np.array_equal(weights[name], value) for name, value in ARRAYS.items())


def test_optimizer_state_is_told_from_weights():
    state = {'conv2d_0.w_0_velocity_0': np.zeros(1), NAME_TABLE: {}}
    with pytest.raises(CheckpointError, match=r'optimizer.*pdparams'):
        weights_of(state)


@in_one_test(
    ('ours', 'theirs'),
    [
        ('conv1', 'conv_layer1_1'),
        ('layer1.0.downsample.0', 'la1.bb_layer2_1.conv_down'),
        ('layer1.3.conv2', 'la1.bb_layer2_4.conv2'),
        ('transition1.0.0', 'tr1.transition_tr1_layer_1'),
        ('transition1.1.0.0', 'tr1.transition_tr1_layer_2'),
        ('transition3.3.0.0', 'tr3.transition_tr3_layer_4'),
        (
            'stage3.2.branches.1.0.conv2',
            'st3.stage_st3_3.branches_func.bb_st3_3_branch_layer_2_1.conv2',
        ),
        ('stage4.0.fuse_layers.0.3.0', 'st4.stage_st4_1.fuse_func.residual_st4_1_layer_1_4'),
        ('stage4.2.fuse_layers.3.0.2.0', 'st4.stage_st4_3.fuse_func.residual_st4_3_layer_4_1_3'),
    ],
)
def test_hrnet_convolution_is_called_as_paddle_calls_it(ours, theirs):
    names = {unit.target: unit.source for unit in paddle_networks.hrnet('b.', '')}
    assert names[ours] == f'b.{theirs}._conv'


@pytest.mark.parametrize('small', [True, False])
def test_hrnet_table_is_complete_and_without_doubles(small):
    kind = paddle_networks.HRNetKind(**(paddle_networks.SMALL if small else {}))
    units = list(paddle_networks.hrnet('', '', kind))
    assert {unit.target for unit in units} == {unit.target for unit in networks.hrnet(
        '', '', small=small)}  # fmt: skip
    assert len({unit.source for unit in units}) == len(units)


NETWORKS_WITHOUT_COUNTERPART = {
    'DeepLabV3P on ResNet-50-vd': (
        ('backbone.bb_3_0.conv2._batch_norm._mean', 'head.aspp.conv_bn_relu._conv.weight',
         'head.decoder.conv.weight'), 'on resnet with aspp, decoder in its head',
    ),
    'PSPNet on ResNet-18-vd': (
        ('backbone.bb_3_0.conv1._batch_norm._mean', 'head.psp_module.conv_bn_relu2._conv.weight'),
        'on ResNet-18 or -34 with psp_module in its head',
    ),
    'a decoder on HRNet': (
        ('backbone.st4.stage_st4_1.x._batch_norm._mean', 'head.mask.weight'),
        'on hrnet with mask in its head',
    ),
}  # fmt: skip


def test_networks_without_a_counterpart_are_refused_by_what_they_are():
    for name, (keys, said) in NETWORKS_WITHOUT_COUNTERPART.items():
        with pytest.raises(CheckpointError, match=rf'network of paddleseg {said}.*CCNet') as error:
            convert({key: np.ones((2, 2, 1, 1), 'float32') for key in keys})
        assert '\n' not in str(error.value), name


@pytest.mark.parametrize(('depth', 'convolutions'), [(50, 3 + 16 * 3 + 4), (101, 3 + 33 * 3 + 4)])
def test_resnet_vd_table_has_every_convolution_once(depth, convolutions):
    units = list(paddle_networks.resnet_vd('', '', depth=depth))
    assert len({unit.source for unit in units}) == len(units) == convolutions
    assert len({unit.target for unit in units}) == convolutions


def samples() -> list[Path]:
    """Files that Paddle itself wrote; our own where the given folder holds other things."""
    own = fixture_files.DEFAULT / 'paddleseg'
    folders = [folder / 'pdparams_sample' for folder in fixture_files.fixture_dirs('paddleseg')]
    folders = [folder for folder in folders if folder.is_dir()] or [own / 'pdparams_sample']
    return [path for folder in folders for path in sorted(folder.glob('*.pdparams'))]


def listed(path: Path) -> dict[str, str]:
    """The arrays in a sample as its contents file describes them: name -> 'ndarray float32 [4]'."""
    contents = json.loads((path.parent / 'contents.json').read_text())['files'][path.name][
        'content'
    ]
    if isinstance(contents, str):  # "same as <file>; ..."
        return listed(path.with_name(contents.removeprefix('same as ').partition(';')[0]))
    contents = contents.get('model', contents)
    return {
        name: value[-1] if isinstance(value, list) else value
        for name, value in contents.items()
        if name != NAME_TABLE
    }


@in_one_test('path', samples(), ids=lambda path: path.stem)
def test_file_written_by_paddle_gives_its_arrays(path):
    weights = weights_of(read_checkpoint(path))
    expected = listed(path)
    assert weights.keys() == expected.keys()
    for name, value in weights.items():
        assert f'ndarray {value.dtype} {list(value.shape)}' == expected[name]
        assert np.array_equal(value, stored.weight(name, value.shape, dtype=value.dtype.name))


def test_samples_written_by_paddle_are_there():
    assert {path.stem for path in samples()} >= {'tiny_protocol2_numpy1', 'tiny_nested'}


@pytest.mark.filterwarnings('ignore:invalid value')
def test_linear_layer_of_paddle_is_in_times_out():
    path = next(path for path in samples() if path.stem == 'tiny_protocol4')
    forward = json.loads((path.parent / 'contents.json').read_text())['tiny_forward']
    w = weights_of(read_checkpoint(path))
    norm = {key: w[f'stem._batch_norm.{key}'][:, None, None] for key in (
        'weight', 'bias', '_mean', '_variance')}  # fmt: skip
    image = np.pad(stored.image((2, 3, 8, 8), 1), [(0, 0), (0, 0), (1, 1), (1, 1)])
    windows = np.lib.stride_tricks.sliding_window_view(image, (3, 3), axis=(2, 3))
    x = np.einsum('nchwij,ocij->nohw', windows, w['stem._conv.weight'])
    x = (x - norm['_mean']) / np.sqrt(norm['_variance'] + 1e-5) * norm['weight'] + norm['bias']
    # the sample has negative variances: NaN, which Paddle's ReLU turns into 0
    output = np.fmax(x, 0).mean((2, 3)) @ w['fc.weight'] + w['fc.bias']
    assert abs(output - forward['output']).max() < 1e-5


def test_optimizer_file_written_by_paddle_is_refused():
    path = samples()[0].parent / 'tiny_momentum.pdopt'
    with pytest.raises(CheckpointError, match=r'optimizer'):
        weights_of(read_checkpoint(path))
