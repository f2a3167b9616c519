"""Layers on a few rows at a time: the same results, only where that is allowed."""

import pytest
import torch
from in_one_test import in_one_test
from random_norms import shuffle_norms
from torch import nn

from openseg_plugin.layers import memory as module
from openseg_plugin.layers.memory import chunked, is_pixelwise
from openseg_plugin.layers.object_context import ObjectContextBlock


@pytest.fixture(autouse=True)
def two_rows(monkeypatch):
    """Parts of two rows of maps (2, 8, H, 5) in float64."""
    monkeypatch.setattr(module, 'CHUNK_BYTES', {'cpu': 2 * 2 * 8 * 5 * 8})


def layers():
    return nn.Sequential(nn.Conv2d(8, 3, 1), nn.BatchNorm2d(3), nn.ReLU()).eval().double()


def heights_seen(net, maps):
    seen = []
    net.register_forward_hook(lambda _, args, __: seen.append(args[0].shape[2]))
    return chunked(net, maps, [net]), seen


@pytest.mark.parametrize('form', [torch.contiguous_format, torch.channels_last])
@torch.no_grad()
def test_chunked_gives_the_whole_result_in_its_memory_format(form):
    net, maps = layers().to(memory_format=form), torch.randn(2, 8, 7, 5).double()
    maps = maps.to(memory_format=form)
    result, seen = heights_seen(net, maps)
    assert seen == [2, 2, 2, 1]
    torch.testing.assert_close(result, net(maps), rtol=1e-12, atol=1e-12)
    assert result.is_contiguous(memory_format=form)


def test_chunked_where_gradients_are_asked_for_is_one_part():
    result, seen = heights_seen(layers(), torch.randn(2, 8, 7, 5).double())
    assert seen == [7]
    assert result.requires_grad


@torch.no_grad()
def test_chunked_small_map_is_one_part():
    assert heights_seen(layers(), torch.randn(2, 8, 2, 5).double())[1] == [2]


@torch.no_grad()
def test_chunked_batch_norm_that_takes_statistics_sees_the_whole_map():
    assert heights_seen(layers().train(), torch.randn(2, 8, 7, 5).double())[1] == [7]


@in_one_test(
    ('layer', 'expected'),
    [
        (nn.Conv2d(4, 4, 1), True),
        (nn.Conv2d(4, 4, 3, padding=1), False),
        (nn.Conv2d(4, 4, 1, stride=2), False),
        (nn.Conv2d(4, 4, 1, padding=1), False),
        (nn.BatchNorm2d(4), True),
        (nn.BatchNorm2d(4, track_running_stats=False), False),
        (nn.GroupNorm(2, 4), False),
        (nn.InstanceNorm2d(4), False),
        (nn.Dropout2d(0.5), True),
        (nn.Sequential(nn.Conv2d(4, 4, 1), nn.LeakyReLU(0.01)), True),
        (nn.Sequential(nn.Conv2d(4, 4, 1), nn.AvgPool2d(3)), False),
    ],
)
def test_is_pixelwise_of_known_layers_in_evaluation_mode(layer, expected):
    assert is_pixelwise(layer.eval()) is expected


@pytest.mark.parametrize('layer', [nn.BatchNorm2d(4), nn.Dropout2d(0.5)])
def test_is_pixelwise_is_false_while_training(layer):
    assert not is_pixelwise(layer.train())


@torch.no_grad()
def test_object_context_block_chunked_equals_the_block_at_once(monkeypatch):
    block = ObjectContextBlock(8, 4, norm_cfg=dict(type='BN'), act_cfg=dict(type='ReLU'))
    block = shuffle_norms(block).eval().double()
    feats, regions = torch.randn(2, 8, 7, 5).double(), torch.randn(2, 8, 3).double()
    seen = []
    block.bottleneck.register_forward_hook(lambda _, args, __: seen.append(args[0].shape[2]))
    classifier = nn.Conv2d(8, 3, 1).double()
    parts, scores = block(feats, regions), block.followed_by([classifier], feats, regions)
    monkeypatch.setattr(module, 'CHUNK_BYTES', {'cpu': 2**40})
    whole = block(feats, regions)
    torch.testing.assert_close(parts, whole, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(scores, classifier(whole), rtol=1e-12, atol=1e-12)
    assert seen == [2, 2, 2, 1, 2, 2, 2, 1, 7]
