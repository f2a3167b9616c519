"""The norm of openseg's older files as BatchNorm with converted weights, negative ones included."""

import numpy as np
import pytest
import torch
from mmcv.cnn import ConvModule
from parity import catalog, recipe_text, stored

from openseg_plugin.converters.checkpoints.keys import Bias, conv_module, translate

STATISTICS = ('weight', 'bias', 'running_mean', 'running_var')


def converted(meta: dict, activation: str) -> ConvModule:
    """An identity convolution in front of the norm, as the table of a network names them."""
    arrays = {name: recipe_text.made(meta['inputs'][name]) for name in STATISTICS}
    channels = len(arrays['weight'])
    weights = {f'conv.1.{name}': array.astype('float64') for name, array in arrays.items()}
    weights['conv.0.weight'] = np.eye(channels)[:, :, None, None]
    unit = conv_module('conv.0', 'module', 'conv.1', bias=Bias.NONE)
    state = translate(weights, [unit], is_inplace_abn=True, what='a norm')
    (eps,) = recipe_text.numbers(r'eps ([\d.e-]+\d)', ' '.join(meta['notes']))
    (momentum,) = recipe_text.numbers(r'momentum ([\d.]+\d)', ' '.join(meta['outputs'].values()))
    norm = {'type': 'BN', 'eps': eps, 'momentum': momentum}
    act_cfg = None
    if activation == 'leaky_relu':
        (slope,) = recipe_text.numbers(r'slope ([\d.]+\d)', ' '.join(meta['outputs'].values()))
        act_cfg = {'type': 'LeakyReLU', 'negative_slope': slope}
    else:
        assert activation == 'none', f'unknown activation {activation}'
    module = ConvModule(channels, channels, 1, norm_cfg=norm, act_cfg=act_cfg).double()
    state = {name.removeprefix('module.'): torch.as_tensor(v) for name, v in state.items()}
    module.load_state_dict(state)
    return module


@pytest.mark.parametrize(('family', 'name'), catalog.params('in-place ABN'))
def test_batch_norm_with_converted_weights_is_the_inplace_abn(family, name):
    fixture = stored.read(catalog.files()[family, name], family)
    inputs = torch.from_numpy(recipe_text.made(fixture.meta['inputs']['x'])).double()
    actual: dict[str, np.ndarray] = {}
    for output in fixture.outputs:
        mode, what = output.split('.')
        if what.startswith('running_'):
            continue  # checked beside what train() gives
        module = converted(fixture.meta, what).train(mode == 'train')
        actual[output] = module(inputs).detach().numpy()
        if mode == 'train':
            actual['train.running_mean'] = module.bn.running_mean.numpy()
            actual['train.running_var'] = module.bn.running_var.numpy()
    errors = stored.errors(actual, fixture.outputs)
    assert max(errors.values()) < 1e-5, errors


def test_stored_weights_have_negative_entries():
    for key in (param.values for param in catalog.params('in-place ABN')):
        words = stored.read(catalog.files()[key], key[0]).meta['inputs']['weight']
        assert 'negative' not in words or (recipe_text.made(words) < 0).any()
