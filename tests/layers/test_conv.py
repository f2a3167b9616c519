import pytest
import torch

from openseg_plugin.layers.conv import conv_norm_act

BN = dict(type='BN')
RELU = dict(type='ReLU')


@pytest.mark.filterwarnings('error')
@pytest.mark.parametrize('bias', [True, False])
def test_conv_norm_act_bias_decides_whether_the_convolution_has_one(bias):
    module = conv_norm_act(2, 3, 3, norm_cfg=BN, act_cfg=RELU, bias=bias)
    assert ('conv.bias' in module.state_dict()) is bias


def test_conv_norm_act_without_norm_always_has_a_bias():
    assert 'conv.bias' in conv_norm_act(2, 3, 1, norm_cfg=None, act_cfg=RELU).state_dict()


@pytest.mark.parametrize('kernel_size', [1, 3])
def test_conv_norm_act_keeps_the_size(kernel_size):
    module = conv_norm_act(2, 3, kernel_size, norm_cfg=BN, act_cfg=RELU)
    assert module(torch.randn(2, 2, 5, 7)).shape == (2, 3, 5, 7)


def test_conv_norm_act_bias_is_added_before_the_norm():
    module = conv_norm_act(1, 1, 1, norm_cfg=BN, act_cfg=None, bias=True).eval()
    torch.nn.init.constant_(module.conv.weight, 2.0)
    torch.nn.init.constant_(module.conv.bias, 3.0)
    module.bn.running_mean.fill_(1.0)
    module.bn.eps = 0.0
    assert module(torch.full((1, 1, 1, 1), 5.0)).item() == pytest.approx(2 * 5 + 3 - 1)


def test_conv_norm_act_leaky_relu_keeps_its_slope():
    act = dict(type='LeakyReLU', negative_slope=0.01)
    module = conv_norm_act(1, 1, 1, norm_cfg=None, act_cfg=act)
    torch.nn.init.constant_(module.conv.weight, 1.0)
    assert module(torch.full((1, 1, 1, 1), -2.0)).item() == pytest.approx(-0.02)
