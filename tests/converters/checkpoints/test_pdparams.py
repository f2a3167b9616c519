"""Files of ``paddle.save``: what is in them, and Paddle's names of layers."""

import pickle

import numpy as np
import pytest

from openseg_plugin.converters.checkpoints import networks, paddle_networks, read_checkpoint
from openseg_plugin.converters.checkpoints.keys import as_mmengine_checkpoint, weights_of
from openseg_plugin.converters.checkpoints.pdparams import NAME_TABLE
from openseg_plugin.errors import CheckpointError

ARRAYS = {'a.weight': np.ones((2, 3), 'float32'), 'a.bias': np.zeros(2, 'float32')}
TABLE = {NAME_TABLE: {'a.weight': 'linear_0.w_0', 'a.bias': 'linear_0.b_0'}}
PAIRS = {name: (f'x_{name}', value) for name, value in ARRAYS.items()}


@pytest.mark.parametrize('protocol', [2, 4])
@pytest.mark.parametrize(
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
    with pytest.raises(CheckpointError, match='optimizer.*pdparams'):
        weights_of(state)


@pytest.mark.parametrize(
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
    units = list(paddle_networks.hrnet('', '', small=small))
    assert {unit.target for unit in units} == {unit.target for unit in networks.hrnet(
        '', '', small=small)}  # fmt: skip
    assert len({unit.source for unit in units}) == len(units)


@pytest.mark.parametrize(('depth', 'convolutions'), [(50, 3 + 16 * 3 + 4), (101, 3 + 33 * 3 + 4)])
def test_resnet_vd_table_has_every_convolution_once(depth, convolutions):
    units = list(paddle_networks.resnet_vd('', '', depth=depth))
    assert len({unit.source for unit in units}) == len(units) == convolutions
    assert len({unit.target for unit in units}) == convolutions
