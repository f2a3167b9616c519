import pytest
import torch

from openseg_plugin.layers.dual_attention import (
    ChannelAttention,
    PolarizedAttention,
    PositionAttention,
    attend_by_key,
)


def rows(*widths, pixels=7):
    return [torch.randn(2, pixels, width).double() for width in widths]


@pytest.mark.parametrize('block', [1, 3, 7, 100])
def test_attend_by_key_is_the_softmax_over_queries_for_any_block(block):
    query, key, value = rows(3, 3, 4)
    weights = (query @ key.transpose(1, 2)).softmax(dim=1)
    torch.testing.assert_close(weights.sum(1), torch.ones(2, 7).double())
    torch.testing.assert_close(attend_by_key(query, key, value, block=block), weights @ value)


@pytest.mark.parametrize('block', [2, 100])
def test_attend_by_key_has_the_gradients_of_the_plain_formula(block):
    inputs = [x.requires_grad_() for x in rows(2, 2, 3)]
    query, key, value = inputs
    plain = ((query @ key.transpose(1, 2)).softmax(dim=1) @ value).square().sum()
    blocked = attend_by_key(query, key, value, block=block).square().sum()
    expected = torch.autograd.grad(plain, inputs)
    for actual, gradient in zip(torch.autograd.grad(blocked, inputs), expected):
        torch.testing.assert_close(actual, gradient)


@pytest.mark.parametrize(('normalize_over', 'axis'), [('keys', 2), ('queries', 1)])
def test_position_attention_normalizes_over_the_axis_it_names(normalize_over, axis):
    module = PositionAttention(4, 2, normalize_over=normalize_over).double()
    torch.nn.init.constant_(module.gamma.scale, 0.5)
    x = torch.randn(2, 4, 3, 5).double()
    query, key = (p(x).flatten(2) for p in (module.query_project, module.key_project))
    weights = (query.transpose(1, 2) @ key).softmax(dim=axis)
    context = module.value_project(x).flatten(2) @ weights.transpose(1, 2)
    torch.testing.assert_close(module(x), x + 0.5 * context.view_as(x))


def test_position_attention_refuses_an_unknown_axis():
    with pytest.raises(ValueError, match='rows'):
        PositionAttention(4, 2, normalize_over='rows')


def test_channel_attention_gives_unlike_channels_the_largest_weight():
    module = ChannelAttention()
    torch.nn.init.ones_(module.gamma.scale)
    x = torch.tensor([[5.0, 0.0], [0.0, 5.0]]).view(1, 2, 1, 2)
    # energies (25, 0), (0, 25): each channel takes the other one almost alone
    torch.testing.assert_close(module(x) - x, x.flip(1))


def test_polarized_attention_without_likeness_weighs_all_channels_and_all_pixels_alike():
    module = PolarizedAttention(4)
    for parameter in module.parameters():
        torch.nn.init.zeros_(parameter)
    x = torch.randn(2, 4, 3, 5)
    weight = 0.5 + torch.tensor(1 / 15).sigmoid()  # of a channel, and of a pixel: softmax over 15
    torch.testing.assert_close(module(x), x * weight)


@torch.no_grad()
def test_polarized_attention_follows_the_formula_of_its_paper():
    module = PolarizedAttention(4).double()
    x = torch.randn(1, 4, 3, 5).double()
    rows = x[0].flatten(1)  # (C, P)
    query, value, out, pixel_query, pixel_value = (
        p.flatten(1) for p in (module.channel_query.weight, module.channel_value.weight,
                               module.channel_out.weight, module.pixel_query.weight,
                               module.pixel_value.weight)
    )  # fmt: skip
    of_channels = (out @ (value @ rows) @ (query @ rows).softmax(1).T).sigmoid()  # (C, 1)
    of_pixels = ((pixel_query @ rows).mean(1) @ (pixel_value @ rows)).softmax(0).sigmoid()  # (P)
    torch.testing.assert_close(module(x)[0].flatten(1), rows * of_channels + rows * of_pixels)


@pytest.mark.parametrize('module', [PositionAttention(4, 2), ChannelAttention()])
def test_attention_starts_as_the_identity(module):
    x = torch.randn(1, 4, 3, 2)
    assert torch.equal(module(x), x)
