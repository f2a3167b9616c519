"""The norm of openseg's older files as BatchNorm with converted weights, negative ones included."""

import numpy as np
import pytest
import torch
from mmcv.cnn import ConvModule
from parity import catalogue, stored

from openseg_plugin.converters.checkpoints.keys import Bias, conv_module, translate

CHANNELS = 16
ACTIVATIONS = {'none': None, 'leaky_relu': {'type': 'LeakyReLU', 'negative_slope': 0.01}}


def converted(activation: str) -> ConvModule:
    """An identity convolution in front of the norm, as the table of a network names them."""

    def numbers(seed: int) -> np.ndarray:
        return stored.image((CHANNELS,), seed).astype('float64')

    weights = {
        'conv.0.weight': np.eye(CHANNELS)[:, :, None, None],
        'conv.1.weight': numbers(1),
        'conv.1.bias': np.float32(0.1) * numbers(2),
        'conv.1.running_mean': np.float32(0.2) * numbers(3),
        'conv.1.running_var': abs(numbers(4)) + np.float32(0.1),
    }
    assert (weights['conv.1.weight'] < 0).any()
    unit = conv_module('conv.0', 'module', 'conv.1', bias=Bias.NONE)
    state = translate(weights, [unit], is_inplace_abn=True, what='a norm')
    module = ConvModule(
        CHANNELS, CHANNELS, 1, norm_cfg={'type': 'BN'}, act_cfg=ACTIVATIONS[activation]
    ).double()
    state = {name.removeprefix('module.'): torch.as_tensor(v) for name, v in state.items()}
    module.load_state_dict(state)
    return module


@pytest.mark.parametrize('activation', ACTIVATIONS)
@pytest.mark.parametrize('mode', ['eval', 'train'])
@pytest.mark.parametrize(('family', 'name'), catalogue.params('in-place ABN'))
def test_batch_norm_with_converted_weights_is_the_inplace_abn(family, name, mode, activation):
    expected = stored.read(catalogue.files()[family, name], family).outputs
    module = converted(activation).train(mode == 'train')
    inputs = torch.from_numpy(stored.image((2, CHANNELS, 9, 11), 0)).double()
    actual = {f'{mode}.{activation}': module(inputs).detach().numpy()}
    if mode == 'train':
        actual['train.running_mean'] = module.bn.running_mean.numpy()
        actual['train.running_var'] = module.bn.running_var.numpy()
    errors = stored.errors(actual, {key: expected[key] for key in actual})
    assert max(errors.values()) < 1e-5, errors
