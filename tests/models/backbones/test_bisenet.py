import pytest
import torch

from openseg_plugin.models.backbones.bisenet import AttentionRefinement, BiSeNet

RESNET18 = dict(type='mmseg.ResNet', depth=18, norm_cfg=dict(type='BN'))


@pytest.mark.parametrize('size', [(64, 96), (57, 83)])
def test_maps_have_an_eighth_and_a_sixteenth_of_the_size_rounded_up(size):
    maps = BiSeNet(RESNET18, channels=8).eval()(torch.randn(1, 3, *size))
    eighth, sixteenth = ([-(-side // stride) for side in size] for stride in (8, 16))
    assert [list(x.shape) for x in maps] == [
        [1, 16, *eighth],
        [1, 8, *eighth],
        [1, 8, *sixteenth],
    ]


def test_every_weight_is_trained():
    net = BiSeNet(RESNET18, channels=8)
    sum(x.square().mean() for x in net(torch.randn(2, 3, 64, 64))).backward()
    assert not [name for name, p in net.named_parameters() if p.grad is None]


def test_refinement_keeps_at_least_half_of_each_channel():
    from functools import partial

    from mmcv.cnn import ConvModule

    module = AttentionRefinement(3, 4, conv=partial(ConvModule, norm_cfg=dict(type='BN'))).eval()
    x = torch.randn(2, 3, 5, 6)
    kept = module(x) / module.conv(x)
    assert (kept[module.conv(x) > 0] >= 0.5).all()
