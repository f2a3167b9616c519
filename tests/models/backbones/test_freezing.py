"""frozen_stages and norm_eval of our backbones: what stands still, and what learns."""

import pytest
import torch
from in_one_test import in_one_test
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from openseg_plugin.errors import ConfigError
from openseg_plugin.models.backbones import HRNet, HRNet2x, ResNet, ResNetVd, WideResNet38

# backbone of a few channels, and its modules by stage, from the stem on
NETWORKS = {
    'hrnet': (
        lambda **a: HRNet(4, num_modules=(1, 1, 1), num_blocks=1, **a),
        ['conv1 bn1 conv2 bn2', 'layer1', 'transition1 stage2', 'transition2 stage3'],
    ),
    'hrnet2x': (
        lambda **a: HRNet2x(4, num_modules=(1, 1, 1, 1), num_blocks=1, **a),
        ['conv1 bn1', 'transition0 stage1', 'transition1 stage2', 'transition2 stage3'],
    ),
    'resnet': (lambda **a: ResNet(50, **a), ['stem', 'layer1', 'layer2', 'layer3']),
    'resnet_vd': (lambda **a: ResNetVd(50, **a), ['stem', 'layer1', 'layer2', 'layer3']),
    'wide_resnet': (
        lambda **a: WideResNet38(2, num_blocks=(1,) * 6, **a),
        ['stem', 'groups.0', 'groups.1', 'groups.2'],
    ),
}


@in_one_test('number', [-1, 0, 1, 3])
@in_one_test('name', NETWORKS)
def test_frozen_stages_keep_weights_and_statistics_and_the_rest_learns(name, number):
    build, stages = NETWORKS[name]
    net = build(frozen_stages=number).train()
    frozen = tuple(f'{m}.' for stage in stages[: number + 1] for m in stage.split())
    before = {key: value.clone() for key, value in net.state_dict().items()}
    sum(x.sum() for x in net(torch.randn(2, 3, 32, 32))).backward()
    for key, parameter in net.named_parameters():
        assert (parameter.grad is None) == key.startswith(frozen), key
    for key, value in net.state_dict().items():
        if key.endswith('num_batches_tracked'):
            assert torch.equal(value, before[key]) == key.startswith(frozen), key


@in_one_test('name', NETWORKS)
def test_norm_eval_keeps_all_statistics_and_trains_their_scales(name):
    net = NETWORKS[name][0](norm_eval=True).train()
    norms = [module for module in net.modules() if isinstance(module, _BatchNorm)]
    assert norms and not any(norm.training for norm in norms)
    assert net.training and all(norm.weight.requires_grad for norm in norms)
    assert isinstance(net.eval().train(), nn.Module) and not any(norm.training for norm in norms)


@in_one_test('name', NETWORKS)
@in_one_test('number', [-2, 7])
def test_stages_that_are_not_there_are_refused(name, number):
    with pytest.raises(ConfigError, match=f'frozen_stages={number}'):
        NETWORKS[name][0](frozen_stages=number)
