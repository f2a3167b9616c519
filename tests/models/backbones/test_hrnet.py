"""HRNet: key names and maths of mmseg's where that is right, one resize where it is not."""

import pytest
import torch
from in_one_test import in_one_test
from mmseg.registry import MODELS as MMSEG_MODELS
from random_norms import shuffle_norms
from torch.nn.modules.batchnorm import _BatchNorm

from openseg_plugin.errors import ConfigError
from openseg_plugin.models.backbones import HRNet
from openseg_plugin.registry import MODELS

WIDTH = 4
SMALL = dict(num_modules=(1, 2, 2), num_blocks=1)


def build_mmseg(width, *, num_modules, num_blocks):
    """mmseg's HRNet of the same shape."""
    extra = dict(
        stage1=dict(
            num_modules=1,
            num_branches=1,
            block='BOTTLENECK',
            num_blocks=(num_blocks,),
            num_channels=(64,),
        )
    )
    for stage, modules in enumerate(num_modules, start=2):
        extra[f'stage{stage}'] = dict(
            num_modules=modules,
            num_branches=stage,
            block='BASIC',
            num_blocks=(num_blocks,) * stage,
            num_channels=tuple(width * 2**i for i in range(stage)),
        )
    return MMSEG_MODELS.build(dict(type='mmseg.HRNet', extra=extra))


@pytest.mark.parametrize(
    'width, options',
    [
        (18, dict(num_modules=(1, 4, 3), num_blocks=4)),
        (18, dict(num_modules=(1, 3, 2), num_blocks=2)),
        (32, dict(num_modules=(1, 4, 3), num_blocks=4)),
        (48, dict(num_modules=(1, 4, 3), num_blocks=4)),
    ],
)
def test_state_dict_published_widths_has_the_keys_and_shapes_of_mmseg(width, options):
    with torch.device('meta'):
        ours = HRNet(width, **options).state_dict()
        theirs = build_mmseg(width, **options).state_dict()
    assert {k: v.shape for k, v in ours.items()} == {k: v.shape for k, v in theirs.items()}


@torch.no_grad()
def test_forward_sides_divisible_by_32_equals_mmseg():
    torch.manual_seed(0)
    theirs = shuffle_norms(build_mmseg(WIDTH, **SMALL))
    theirs.eval()
    ours = HRNet(WIDTH, align_corners=False, **SMALL).eval()
    ours.load_state_dict(theirs.state_dict())
    inputs = torch.randn(2, 3, 64, 96)
    for got, expected in zip(ours(inputs), theirs(inputs)):
        torch.testing.assert_close(got, expected, rtol=1e-5, atol=1e-5)


@in_one_test('align_corners', [True, False])
@in_one_test('size', [(64, 64), (97, 131), (33, 40), (1, 1)])
@torch.no_grad()
def test_forward_any_size_gives_four_maps_with_sides_rounded_up(size, align_corners):
    maps = HRNet(WIDTH, align_corners=align_corners, **SMALL).eval()(torch.randn(1, 3, *size))
    strides = (4, 8, 16, 32)
    assert [m.shape for m in maps] == [
        (1, WIDTH * s // 4, -(-size[0] // s), -(-size[1] // s)) for s in strides
    ]


@torch.no_grad()
def test_forward_align_corners_changes_the_exchange():
    torch.manual_seed(0)
    nets = [HRNet(WIDTH, align_corners=flag, **SMALL).eval() for flag in (True, False)]
    nets[1].load_state_dict(nets[0].state_dict())
    inputs = torch.randn(1, 3, 64, 64)
    first, second = (net(inputs)[0] for net in nets)
    assert (first - second).abs().max() > 1e-3 * first.abs().max()


@torch.no_grad()
def test_forward_constant_features_pass_the_resize_unchanged_at_odd_sizes():
    net = HRNet(WIDTH, **SMALL).eval()
    module = net.stage2[0]
    maps = [torch.ones(1, WIDTH, 25, 33), torch.ones(1, 2 * WIDTH, 13, 17)]
    layer = module.fuse_layers[0][1]
    expected = layer(maps[1])
    torch.nn.init.zeros_(module.branches[0][0].conv2.weight)
    torch.nn.init.zeros_(module.branches[1][0].conv2.weight)
    fused = module(maps)[0]
    wanted = (1 + expected.amax((2, 3), keepdim=True)).relu().expand_as(fused)
    torch.testing.assert_close(fused, wanted)


@pytest.mark.parametrize('norm_eval', [True, False])
def test_norm_eval_decides_whether_training_moves_the_statistics(norm_eval):
    net = HRNet(WIDTH, norm_eval=norm_eval, **SMALL).train()
    before = net.bn1.running_mean.clone()
    net(torch.randn(2, 3, 64, 64))
    assert torch.equal(net.bn1.running_mean, before) is norm_eval
    assert net.training and net.stage4.training


def test_norm_cfg_is_used_for_every_norm_layer():
    net = HRNet(WIDTH, norm_cfg=dict(type='SyncBN', requires_grad=True), **SMALL)
    norms = [m for m in net.modules() if isinstance(m, _BatchNorm)]
    assert norms and all(isinstance(m, torch.nn.SyncBatchNorm) for m in norms)


def test_init_cfg_pretrained_loads_the_file(tmp_path):
    donor = shuffle_norms(HRNet(WIDTH, **SMALL))
    path = tmp_path / 'backbone.pth'
    torch.save(dict(state_dict=donor.state_dict()), path)
    net = MODELS.build(
        dict(
            type='openseg_plugin.HRNet',
            width=WIDTH,
            init_cfg=dict(type='Pretrained', checkpoint=str(path)),
            **SMALL,
        )
    )
    net.init_weights()
    torch.testing.assert_close(net.state_dict(), donor.state_dict())


def test_init_weights_without_init_cfg_is_kaiming():
    torch.manual_seed(0)
    net = HRNet(8, **SMALL)
    net.init_weights()
    conv = net.stage4[0].branches[3][0].conv1.weight
    expected = (2 / (conv.shape[0] * 9)) ** 0.5
    assert conv.std().item() == pytest.approx(expected, rel=0.05)
    assert torch.equal(net.bn1.weight, torch.ones(64))


def test_num_modules_of_wrong_length_is_refused():
    with pytest.raises(ConfigError, match='num_modules=\\(1, 4\\)'):
        HRNet(num_modules=(1, 4))


@torch.no_grad()
def test_same_padding_changes_even_sizes_alone_and_no_names():
    torch.manual_seed(0)
    usual = shuffle_norms(HRNet(WIDTH, **SMALL)).eval()
    same = HRNet(WIDTH, same_padding=True, **SMALL).eval()
    same.load_state_dict(usual.state_dict())
    odd = torch.randn(1, 3, 33, 65)  # 33, 17, 9, 5: odd all the way, as 65, 33, 17, 9
    for ours, theirs in zip(same(odd), usual(odd)):
        torch.testing.assert_close(ours, theirs)
    even = torch.randn(1, 3, 32, 64)
    maps = list(zip(same(even), usual(even)))
    assert all(ours.shape == theirs.shape for ours, theirs in maps)
    assert not torch.allclose(*maps[0], atol=1e-2)


def test_layer1_may_have_another_length_and_width_than_the_branches():
    model = HRNet(WIDTH, **SMALL, layer1=(2, 32))
    assert len(model.layer1) == 2
    assert model.layer1[0].conv2.out_channels == 32
    assert model.transition1[0][0].in_channels == 4 * 32
    assert [x.shape[1] for x in model(torch.randn(1, 3, 33, 40))] == [4, 8, 16, 32]


def test_polarized_attention_sits_in_the_branches_and_gets_gradients():
    model = HRNet(WIDTH, **SMALL, polarized_attention=True)
    names = [name for name, _ in model.named_parameters() if '.attention.' in name]
    assert names
    assert all(name.startswith('stage') and '.branches.' in name for name in names)
    sum(x.square().sum() for x in model(torch.randn(2, 3, 64, 64))).backward()
    gradients = [p.grad for name, p in model.named_parameters() if '.attention.' in name]
    assert all(gradient is not None and gradient.isfinite().all() for gradient in gradients)
