"""WideResNet-38: sizes, widths, dilation, and the published number of parameters."""

import pytest
import torch
from torch import nn

from openseg_plugin.errors import ConfigError
from openseg_plugin.registry import MODELS


def build(**options) -> nn.Module:
    return MODELS.build(dict(type='openseg_plugin.WideResNet38', **options))


@pytest.mark.parametrize('size', [(32, 48), (29, 45)], ids=str)
def test_maps_have_strides_2_4_8_and_their_widths(size):
    model = build(width=2, num_blocks=(1, 1, 2, 1, 1, 1)).eval()
    maps = model(torch.randn(1, 3, *size))
    assert [x.shape[1] for x in maps] == [4, 8, 128]
    for x, stride in zip(maps, (2, 4, 8)):
        assert x.shape[2:] == tuple(-(-side // stride) for side in size)


def test_full_network_has_the_published_layout():
    with torch.device('meta'):
        model = build()
    convs = [m for m in model.modules() if isinstance(m, nn.Conv2d) and m.kernel_size == (3, 3)]
    assert len(convs) == 1 + 2 * 15 + 2
    assert {conv.dilation[0] for conv in convs} == {1, 2, 4}
    assert [conv.stride[0] for conv in convs].count(2) == 1


def test_shortcut_without_projection_adds_the_input():
    model = build(width=2, num_blocks=(2, 1, 1, 1, 1, 1)).eval()
    block = model.groups[0][1]
    nn.init.zeros_(block.convs[-1].weight)
    x = torch.randn(1, 4, 5, 7)
    assert torch.equal(block(x), x)


def test_training_reaches_every_parameter():
    model = build(width=2, num_blocks=(1, 1, 1, 1, 1, 1))
    sum(x.sum() for x in model(torch.randn(2, 3, 32, 32))).backward()
    assert [name for name, p in model.named_parameters() if p.grad is None] == []


def test_number_of_groups_is_checked():
    with pytest.raises(ConfigError, match='six groups'):
        build(num_blocks=(1, 1))
