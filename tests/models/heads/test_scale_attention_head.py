"""Weights of a scale: their range and shape, what makes them, and options that are published."""

import pytest
import torch
import torch.nn.functional as F
from random_norms import shuffle_norms

from openseg_plugin.registry import MODELS

CHANNELS = 6


def build(**options):
    head = dict(type='openseg_plugin.ScaleAttentionHead', in_channels=CHANNELS, channels=4)
    return shuffle_norms(MODELS.build({**head, **options})).double()


def features(size=(7, 9)):
    return torch.randn(2, CHANNELS, *size, dtype=torch.float64)


@pytest.mark.parametrize('size', [(1, 1), (7, 9)])
@pytest.mark.parametrize('num_convs', [1, 2])
def test_weights_are_one_map_between_0_and_1_at_the_features_size(num_convs, size):
    weights = build(num_convs=num_convs).eval()(1e3 * features(size))
    assert weights.shape == (2, 1, *size)
    assert weights.min() >= 0
    assert weights.max() <= 1


@pytest.mark.parametrize('num_convs', [1, 2])
def test_weights_are_those_of_convolutions_norms_and_a_sigmoid(num_convs):
    head, feats = build(num_convs=num_convs).eval(), features()
    expected = feats
    for index in range(num_convs):
        conv, norm = head.convs[index].conv, head.convs[index].bn
        expected = F.conv2d(expected, conv.weight, padding=1)
        mean, scale = (x[:, None, None] for x in (norm.running_mean, norm.weight))
        deviation = (norm.running_var + norm.eps).sqrt()[:, None, None]
        expected = ((expected - mean) / deviation * scale + norm.bias[:, None, None]).relu()
    expected = torch.sigmoid(F.conv2d(expected, head.conv_attention.weight))
    torch.testing.assert_close(head(feats), expected)


@pytest.mark.parametrize('num_convs', [1, 2])
def test_no_convolution_has_a_bias_as_in_the_published_files(num_convs):
    head = build(num_convs=num_convs)
    convs = {name for name, x in head.named_parameters() if x.ndim == 4}
    assert len(convs) == num_convs + 1
    assert (
        not {name.replace('weight', 'bias') for name in convs}
        & dict(head.named_parameters()).keys()
    )


def test_activation_and_norm_are_those_of_the_options():
    head = build(norm_cfg=dict(type='GN', num_groups=2), act_cfg=dict(type='ELU'))
    assert all(isinstance(conv.norm, torch.nn.GroupNorm) for conv in head.convs)
    assert all(isinstance(conv.activate, torch.nn.ELU) for conv in head.convs)


def test_dropout_changes_weights_in_training_alone():
    head, feats = build(dropout_ratio=0.5), features()
    for norm in (conv.bn for conv in head.convs):
        norm.eval()
    first, second = head(feats), head(feats)
    assert not torch.equal(first, second)
    head.eval()
    torch.testing.assert_close(head(feats), head(feats), rtol=0, atol=0)


def test_training_moves_every_parameter():
    head = build().train()
    head(features()).sum().backward()
    assert all(bool(parameter.grad.any()) for parameter in head.parameters())


@pytest.mark.parametrize('num_convs', [1, 2])
def test_saved_weights_load_strictly_and_weigh_the_same(num_convs, tmp_path):
    head, other = (build(num_convs=num_convs).eval() for _ in range(2))
    torch.save(head.state_dict(), tmp_path / 'head.pth')
    other.load_state_dict(torch.load(tmp_path / 'head.pth', weights_only=True), strict=True)
    feats = features()
    torch.testing.assert_close(other(feats), head(feats))
