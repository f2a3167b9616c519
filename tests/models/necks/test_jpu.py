import pytest
import torch
from random_norms import shuffle_norms

from openseg_plugin.models.necks.jpu import JointPyramidUpsampling
from openseg_plugin.registry import MODELS

WIDTHS = (4, 6, 8)


def maps(size=(8, 12)):
    return [
        torch.randn(2, width, -(-size[0] // 2**i), -(-size[1] // 2**i))
        for i, width in enumerate(WIDTHS)
    ]


def layer(**options):
    module = JointPyramidUpsampling(
        WIDTHS, 5, norm_cfg=dict(type='BN'), act_cfg=dict(type='ReLU'), **options
    )
    return shuffle_norms(module).eval()


def test_finest_first_without_aligned_corners_is_mmsegs_neck():
    ours = layer(align_corners=False)
    config = dict(type='mmseg.JPU', in_channels=WIDTHS, mid_channels=5, norm_cfg=dict(type='BN'))
    theirs = MODELS.build(config).eval()
    theirs.load_state_dict(ours.state_dict())
    feats = maps()
    torch.testing.assert_close(ours(feats), theirs(feats)[-1])


def test_coarse_first_is_the_same_with_the_groups_of_the_weights_reversed():
    fine, coarse = layer(), layer(coarse_first=True)
    state = fine.state_dict()
    for name, value in state.items():
        if 'depthwise' in name and value.dim():
            state[name] = torch.cat(value.split(5)[::-1])
        elif 'pointwise_conv.conv' in name:
            state[name] = torch.cat(value.split(5, dim=1)[::-1], dim=1)
    coarse.load_state_dict(state)
    feats = maps((7, 9))
    torch.testing.assert_close(fine(feats), coarse(feats))


@pytest.mark.parametrize('align_corners', [True, False])
def test_align_corners_decides_how_the_coarse_maps_are_enlarged(align_corners):
    feats = maps((8, 8))
    options = {flag: layer(align_corners=flag) for flag in (True, False)}
    options[not align_corners].load_state_dict(options[align_corners].state_dict())
    results = [options[flag](feats) for flag in (True, False)]
    assert not torch.allclose(*results)
    same = [x[:, :, :8, :8] for x in (feats[0],)] + [
        torch.randn(2, width, 8, 8) for width in WIDTHS[1:]
    ]  # without a resize there is no difference
    torch.testing.assert_close(*(options[flag](same) for flag in (True, False)))


@pytest.mark.parametrize('dilations', [(1, 2), (1, 2, 4, 8)])
def test_there_is_one_branch_per_dilation(dilations):
    assert layer(dilations=dilations)(maps()).shape == (2, 5 * len(dilations), 8, 12)


def test_another_number_of_maps_is_an_error():
    with pytest.raises(ValueError, match='zip'):
        layer()(maps()[:2])


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
