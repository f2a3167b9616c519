"""Images at another scale: sizes and places of both sources."""

import pytest
import torch
import torch.nn.functional as F
from in_one_test import in_one_test
from parity import paddle_resize

from openseg_plugin.layers.scale_fusion import scaled_image, scaled_size

SCALES = [0.25, 0.5, 0.7, 1.5, 2.0, 2.5]
SIZE = (37, 50)


@in_one_test('exact_ratio', [False, True])
@in_one_test('scale', SCALES)
def test_scaled_image_has_sides_rounded_down(scale, exact_ratio):
    found = scaled_image(torch.rand(1, 3, *SIZE), scale, exact_ratio=exact_ratio)
    assert tuple(found.shape[2:]) == tuple(int(side * scale) for side in SIZE)
    assert tuple(found.shape[2:]) == scaled_size(SIZE, scale)


@in_one_test('scale', SCALES)
def test_scaled_image_with_exact_ratio_has_places_of_float32_in_any_precision(scale):
    image = torch.rand(2, 3, *SIZE, dtype=torch.float64)
    found = scaled_image(image, scale, exact_ratio=True)
    torch.testing.assert_close(found, paddle_resize.scaled(image, scale))
    single = scaled_image(image.float(), scale, exact_ratio=True)
    torch.testing.assert_close(single.double(), found, rtol=0, atol=1e-5)  # places up to 125


def test_scaled_image_with_exact_ratio_samples_every_inverse_of_the_scale():
    ramp = torch.arange(7.0, dtype=torch.float64).expand(1, 1, 7, 7)
    # 7 * 0.5 = 3 pixels at 2 * (i + 0.5) - 0.5; else 7 / 3 * (i + 0.5) - 0.5
    expected = {True: [0.5, 2.5, 4.5], False: [2 / 3, 3.0, 16 / 3]}
    for exact_ratio, row in expected.items():
        found = scaled_image(ramp, 0.5, exact_ratio=exact_ratio)
        assert found[0, 0, 1].tolist() == pytest.approx(row)


@pytest.mark.parametrize('exact_ratio', [False, True])
def test_scaled_image_at_1_is_the_image_itself(exact_ratio):
    image = torch.rand(1, 3, 4, 4)
    assert scaled_image(image, 1.0, exact_ratio=exact_ratio) is image


def test_scaled_image_with_exact_ratio_has_gradients():
    image = torch.rand(1, 1, 8, 8, dtype=torch.float64, requires_grad=True)
    scaled_image(image, 0.5, exact_ratio=True).sum().backward()
    torch.testing.assert_close(image.grad, torch.full_like(image, 0.25))
    plain = F.avg_pool2d(image, 2)
    torch.testing.assert_close(scaled_image(image, 0.5, exact_ratio=True), plain)
