import torch

from openseg_plugin.registry import MODELS


def test_the_last_map_is_replaced_by_one_at_the_size_of_the_first_joined_one():
    neck = MODELS.build(dict(type='openseg_plugin.JPU', in_channels=(4, 6, 8), channels=5))
    feats = [torch.randn(2, c, 16 >> i, 24 >> i) for i, c in enumerate((3, 4, 6, 8))]
    out = neck.eval()(feats)
    assert [x is y for x, y in zip(out, feats)] == [True, True, True, False]
    assert out[3].shape == (2, 20, 8, 12)


def test_options_reach_the_layer():
    options = dict(coarse_first=True, align_corners=False, act_cfg=dict(type='LeakyReLU'))
    neck = MODELS.build(dict(type='openseg_plugin.JPU', dilations=(1, 3), **options))
    assert neck.joint.coarse_first
    assert not neck.joint.align_corners
    assert [layer[0].depthwise_conv.conv.dilation for layer in neck.joint.dilation_layers] == [
        (1, 1),
        (3, 3),
    ]
    kinds = {type(m) for m in neck.modules() if 'ReLU' in type(m).__name__}
    assert kinds == {torch.nn.LeakyReLU}
