import pytest
import torch
from in_one_test import in_one_test
from mmseg.models.backbones.resnet import BasicBlock, Bottleneck
from random_norms import shuffle_norms
from torch import nn

from openseg_plugin.layers.conv import conv_norm_act, fold_batch_norm

BN = dict(type='BN')
RELU = dict(type='ReLU')


MODELS = {
    'conv_module': lambda: conv_norm_act(4, 4, 3, norm_cfg=BN, act_cfg=RELU),
    'conv_module_with_bias': lambda: conv_norm_act(4, 4, 3, norm_cfg=BN, act_cfg=RELU, bias=True),
    'basic_block': lambda: BasicBlock(4, 4),
    'bottleneck': lambda: Bottleneck(
        4, 2, downsample=nn.Sequential(nn.Conv2d(4, 8, 1), nn.BatchNorm2d(8))
    ),
    'sequence': lambda: nn.Sequential(
        nn.Conv2d(4, 4, 3, stride=2, dilation=2), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 2, 1)
    ),
    'without_affine': lambda: nn.Sequential(nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4, affine=False)),
}


@in_one_test('name', MODELS)
@torch.no_grad()
def test_fold_batch_norm_removes_every_norm_and_keeps_the_output(name):
    model = shuffle_norms(MODELS[name]()).double().eval()
    inputs = torch.randn(2, 4, 9, 7, dtype=torch.float64)
    expected = model(inputs)
    assert fold_batch_norm(model) is model
    assert not any(isinstance(m, nn.BatchNorm2d) for m in model.modules())
    torch.testing.assert_close(model(inputs), expected)


@torch.no_grad()
def test_fold_batch_norm_leaves_a_norm_that_does_not_follow_a_convolution():
    model = nn.Sequential(nn.Conv2d(4, 4, 1), nn.ReLU(), nn.BatchNorm2d(4))
    shuffle_norms(model).double().eval()
    inputs = torch.randn(1, 4, 3, 3, dtype=torch.float64)
    expected = model(inputs)
    fold_batch_norm(model)
    assert isinstance(model[2], nn.BatchNorm2d)
    torch.testing.assert_close(model(inputs), expected)


def test_fold_batch_norm_training_mode_is_refused():
    with pytest.raises(ValueError, match='eval'):
        fold_batch_norm(MODELS['sequence']().train())
