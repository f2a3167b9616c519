"""inference/protocols.py: what tests/parity does not see (it compares with stored results)."""

import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from in_one_test import in_one_test

from openseg_plugin.inference.protocols import (
    hrnet_ocr_inference,
    hrnet_ocr_multi_scale,
    openseg_crops,
    openseg_labels,
    openseg_multi_scale,
)


def network(inputs):
    """Two classes at a quarter of the size; the second likes what is on the left of bright."""
    pooled = F.avg_pool2d(inputs, 4, ceil_mode=True)
    return torch.cat([pooled[:, :1], pooled[:, 1:2] + pooled[:, :1].roll(1, 3)], dim=1)


def at_size(logits, size):
    return F.interpolate(logits, size, mode='bilinear', align_corners=True)


def test_hrnet_ocr_inference_averages_the_directions_before_exp():
    inputs = torch.randn(1, 3, 24, 36)
    plain = at_size(network(inputs), (24, 36))
    flipped = at_size(network(inputs.flip(3)), (24, 36)).flip(3)
    got = hrnet_ocr_inference(network, inputs, flip=True, align_corners=True)
    torch.testing.assert_close(got, ((plain + flipped) / 2).exp())
    swapped = hrnet_ocr_inference(
        network, inputs, flip=True, align_corners=True, flip_pairs=((0, 1),)
    )
    torch.testing.assert_close(swapped, ((plain + flipped[:, [1, 0]]) / 2).exp())


@in_one_test('windows', ['shifted', 'padded'])
@in_one_test('size', [(24, 36), (36, 24), (7, 50)])
def test_hrnet_ocr_multi_scale_of_pointwise_logits_does_not_see_the_windows(windows, size):
    inputs = torch.randn(1, 3, *size)
    got = hrnet_ocr_multi_scale(
        lambda x: x[:, :2],
        inputs,
        scales=(1.0, 2.0),
        base_size=max(size),
        crop_size=(16, 20),
        windows=windows,
        flip=True,
        align_corners=True,
    )
    image = inputs[0].permute(1, 2, 0).numpy()
    doubled = cv2.resize(image, (size[1] * 2, size[0] * 2), interpolation=cv2.INTER_LINEAR)
    doubled = torch.from_numpy(doubled).permute(2, 0, 1)[None, :2].exp()
    torch.testing.assert_close(got, inputs[:, :2].exp() + at_size(doubled, size))


@pytest.mark.parametrize('flip', [False, True])
def test_openseg_multi_scale_sums_logits(flip):
    inputs = torch.randn(2, 3, 21, 30)
    scaled = at_size(inputs, (31, 45))
    views = [(inputs, 2.0), (scaled, 0.5)]
    expected = 0
    for view, weight in views:
        size = view.shape[2:]
        expected = expected + weight * at_size(at_size(network(view), size), (21, 30))
        if flip:
            flipped = at_size(network(view.flip(3)), size).flip(3)
            expected = expected + weight * at_size(flipped, (21, 30))
    got = openseg_multi_scale(
        network, inputs, scales=(1.0, 1.5), flip=flip, scale_weights=(2.0, 0.5)
    )
    torch.testing.assert_close(got, expected)


def test_openseg_crops_touch_and_end_at_the_border():
    inputs = torch.randn(1, 3, 20, 28)
    crops = []

    def seen(window):
        crops.append(window)
        return window

    got = openseg_crops(seen, inputs, crop_size=(12, 16))
    assert [tuple(crop.shape[2:]) for crop in crops] == [(12, 16)] * 4
    assert torch.equal(crops[3], inputs[:, :, 8:, 12:])
    torch.testing.assert_close(got, inputs)


def test_openseg_labels_cuts_the_padding_and_resizes_with_cubics():
    logits = torch.randn(3, 20, 24)
    labels = openseg_labels(logits, border_size=(15, 18), output_size=(30, 40))
    cut = logits[:, :15, :18].permute(1, 2, 0).numpy()
    resized = cv2.resize(np.ascontiguousarray(cut), (40, 30), interpolation=cv2.INTER_CUBIC)
    assert np.array_equal(labels.numpy(), resized.argmax(-1))
    assert labels.dtype == torch.int64
