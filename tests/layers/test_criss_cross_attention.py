import pytest
import torch
from in_one_test import in_one_test

from openseg_plugin.layers.criss_cross_attention import CrissCrossAttention, criss_cross


def pixel_by_pixel(query, key, value):
    """The definition: softmax over the row and the other pixels of the column."""
    out = torch.empty_like(value)
    count, _, height, width = query.shape
    for n, y, x in ((n, y, x) for n in range(count) for y in range(height) for x in range(width)):
        places = [(y, j) for j in range(width)] + [(i, x) for i in range(height) if i != y]
        scores = torch.stack([query[n, :, y, x] @ key[n, :, i, j] for i, j in places])
        values = torch.stack([value[n, :, i, j] for i, j in places])
        out[n, :, y, x] = scores.softmax(0) @ values
    return out


@in_one_test('size', [(1, 1), (1, 4), (4, 1), (3, 5), (6, 4)])
def test_criss_cross_is_the_definition_pixel_by_pixel(size):
    query, key, value = (torch.randn(2, c, *size).double() for c in (3, 3, 4))
    actual = criss_cross(query, key, value)
    torch.testing.assert_close(actual, pixel_by_pixel(query, key, value))


def test_criss_cross_of_equal_values_is_that_value():
    query, key = torch.randn(2, 1, 3, 4, 5)
    torch.testing.assert_close(
        criss_cross(query, key, torch.full((1, 2, 4, 5), 7.0)), torch.full((1, 2, 4, 5), 7.0)
    )


def test_module_starts_as_the_identity_and_trains_every_weight():
    module = CrissCrossAttention(8)
    x = torch.randn(1, 8, 3, 4)
    assert torch.equal(module(x), x)
    torch.nn.init.ones_(module.gamma.scale)
    module(x).square().sum().backward()
    unreached = [
        n for n, p in module.named_parameters() if n != 'key_conv.bias' and not p.grad.any()
    ]
    assert not unreached  # a shift of all keys changes no softmax


@pytest.mark.parametrize(
    ('channels', 'key_channels', 'width'), [(16, None, 2), (4, None, 1), (8, 3, 3)]
)
def test_key_channels_default_to_an_eighth(channels, key_channels, width):
    assert CrissCrossAttention(channels, key_channels).key_conv.out_channels == width
