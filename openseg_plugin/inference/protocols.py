"""The evaluators of the original projects as pure functions, for reproducing published results.

===================================  ==========================================================
function                             what it restates
===================================  ==========================================================
:func:`hrnet_ocr_inference`          HRNet-OCR ``inference`` (also LIP's, with ``flip_pairs``)
:func:`hrnet_ocr_multi_scale`        HRNet-OCR ``multi_scale_inference``: ``windows='shifted'``
                                     Cityscapes, ``windows='padded'`` every other dataset
:func:`openseg_multi_scale`          openseg.pytorch ``ss_test``, ``ms_test``, ``mscrop_test``
:func:`openseg_crops`                openseg.pytorch ``sscrop_test``, one scale
:func:`openseg_labels`               openseg.pytorch's way from logits to labels
===================================  ==========================================================

Sources: HRNet/HRNet-Semantic-Segmentation, branch HRNet-OCR, commit 0bbb2880 (lib/datasets), and
openseg-group/openseg.pytorch (segmentor/tester.py). They take a *network*: a function from
normalized images (N, 3, H, W) to logits (N, K, h, w) of any resolution.

:class:`openseg_plugin.OpenSegMultiScale` and :class:`openseg_plugin.PytorchCVMultiScale` run them
in a test; for everyday use, :class:`openseg_plugin.MultiScaleFlip` merges the same way.
"""

import math
from collections.abc import Callable, Sequence

import cv2
import numpy as np
import torch
from torch import Tensor

from openseg_plugin.inference.multi_scale_flip import swapped
from openseg_plugin.layers.resize import resize_bilinear
from openseg_plugin.layers.sliding_window import slide

Network = Callable[[Tensor], Tensor]
LIP_FLIP_PAIRS = ((14, 15), (16, 17), (18, 19))


def hrnet_ocr_inference(
    network: Network,
    inputs: Tensor,
    *,
    flip: bool,
    align_corners: bool,
    flip_pairs: Sequence[Sequence[int]] = (),
) -> Tensor:
    """exp of the logits at the input's size; with ``flip`` the mean of the two directions' logits.

    Args:
        network: see the head of this file.
        inputs: (N, 3, H, W).
        flip: also run the flipped images.
        align_corners: convention of the resize.
        flip_pairs: classes that change places in the flipped logits (LIP: ``LIP_FLIP_PAIRS``).

    Returns:
        (N, K, H, W), positive; not a softmax.
    """
    size = inputs.shape[2:]
    logits = resize_bilinear(network(inputs), size, align_corners=align_corners)
    if flip:
        flipped = resize_bilinear(network(inputs.flip(3)), size, align_corners=align_corners)
        logits = (logits + swapped(flipped.flip(3), flip_pairs)) * 0.5
    return logits.exp()


def hrnet_ocr_multi_scale(
    network: Network,
    inputs: Tensor,
    *,
    scales: Sequence[float],
    base_size: int,
    crop_size: tuple[int, int],
    windows: str,
    flip: bool,
    align_corners: bool,
    pad_value: Sequence[float] = (0.0,),
) -> Tensor:
    """Sum over the scales of :func:`hrnet_ocr_inference`, at the size of the image.

    Scale s resizes the normalized image (cv2, bilinear) so that its long side has
    ``base_size * s`` pixels: s = 1 is not the original size unless that is ``base_size``.

    Args:
        network: see the head of this file.
        inputs: (1, 3, H, W).
        scales: s.
        base_size: TEST.BASE_SIZE in pixels.
        crop_size: TEST.IMAGE_SIZE, (height, width) in pixels.
        windows: 'shifted': whole image up to s = 1, above it non-overlapping windows, the last one
            moved inside. 'padded': windows with a stride of 2/3, filled up at the border.
        flip: also run everything flipped.
        align_corners: convention of the resizes.
        pad_value: what 'padded' fills with, per channel: -mean / std.

    Returns:
        (1, K, H, W) sum, not divided by the number of scales.
    """

    def predict(image: Tensor) -> Tensor:
        return hrnet_ocr_inference(network, image, flip=flip, align_corners=align_corners)

    total: Tensor | None = None
    for scale in scales:
        image = _resized_to_long_side(inputs, int(base_size * scale + 0.5))
        if windows == 'padded':
            exps = padded_windows(image, predict, crop_size, pad_value)
        elif scale <= 1:
            exps = predict(image)
        else:
            exps = slide(image, predict, window=crop_size, stride=crop_size)
        exps = resize_bilinear(exps, inputs.shape[2:], align_corners=align_corners)
        total = exps if total is None else total + exps
    assert total is not None, 'there is a scale'
    return total


def _resized_to_long_side(inputs: Tensor, long_side: int) -> Tensor:
    height, width = inputs.shape[2:]
    if height > width:
        size = (long_side, int(width * long_side / height + 0.5))
    else:
        size = (int(height * long_side / width + 0.5), long_side)
    image = np.ascontiguousarray(inputs[0].permute(1, 2, 0).cpu().numpy())
    resized = cv2.resize(image, size[::-1], interpolation=cv2.INTER_LINEAR)
    return torch.from_numpy(resized).permute(2, 0, 1).contiguous()[None].to(inputs.device)


def _padded(image: Tensor, size: tuple[int, int], value: Sequence[float]) -> Tensor:
    """Filled up at the bottom and the right to at least ``size``."""
    height, width = image.shape[2:]
    full = image.new_empty((*image.shape[:2], max(size[0], height), max(size[1], width)))
    full[:] = image.new_tensor(value)[:, None, None]
    full[:, :, :height, :width] = image
    return full


def padded_windows(
    image: Tensor,
    predict: Callable[[Tensor], Tensor],
    crop_size: tuple[int, int],
    value: Sequence[float],
) -> Tensor:
    """Mean over windows with a stride of 2/3, filled up with ``value`` at the border.

    Args:
        image: (1, 3, H, W).
        predict: a window (1, 3, h, w) of ``crop_size`` -> (1, K, h, w).
        crop_size: (height, width) in pixels.
        value: per channel.

    Returns:
        (1, K, H, W).
    """
    height, width = image.shape[2:]
    padded = _padded(image, crop_size, value)
    if max(height, width) <= min(crop_size):
        return predict(padded)[:, :, :height, :width]
    full_height, full_width = padded.shape[2:]
    stride = tuple(int(side * 2 / 3) for side in crop_size)
    rows = math.ceil((full_height - crop_size[0]) / stride[0]) + 1
    cols = math.ceil((full_width - crop_size[1]) / stride[1]) + 1
    total: Tensor | None = None
    count = image.new_zeros((1, 1, full_height, full_width))
    for top in range(0, rows * stride[0], stride[0]):
        for left in range(0, cols * stride[1], stride[1]):
            window = padded[:, :, top : top + crop_size[0], left : left + crop_size[1]]
            h, w = window.shape[2:]
            exps = predict(_padded(window, crop_size, value))[:, :, :h, :w]
            if total is None:
                total = exps.new_zeros((1, exps.shape[1], full_height, full_width))
            total[:, :, top : top + h, left : left + w] += exps
            count[:, :, top : top + h, left : left + w] += 1
    assert total is not None, 'there is a window'
    return (total / count)[:, :, :height, :width]


def openseg_multi_scale(
    network: Network,
    inputs: Tensor,
    *,
    scales: Sequence[float] = (1.0,),
    flip: bool = False,
    scale_weights: Sequence[float] | None = None,
    crop_size: tuple[int, int] | None = None,
    flip_pairs: Sequence[Sequence[int]] = (),
) -> Tensor:
    """Sum of the logits over scales and directions, at the size of the input.

    Every resize is bilinear with aligned corners; scale s makes the input int(H * s) x int(W * s).

    Args:
        network: see the head of this file.
        inputs: (N, 3, H, W).
        scales: s; 1 alone, without ``flip``, is the single-scale test.
        flip: also run every scale flipped.
        scale_weights: weight of each scale; None: 1.
        crop_size: (height, width) of crops that take the place of the whole image at scales of
            at least 1, see :func:`openseg_crops`; None: no crops.
        flip_pairs: classes that change places in the flipped logits (LIP: ``LIP_FLIP_PAIRS``).
    """
    size = inputs.shape[2:]
    total: Tensor | None = None
    for scale, weight in zip(scales, scale_weights or (1.0,) * len(scales)):
        scaled_size = tuple(int(side * scale) for side in size)
        scaled = resize_bilinear(inputs, scaled_size, align_corners=True)
        for flipped in (False, True)[: 1 + flip]:
            view = scaled.flip(3) if flipped else scaled
            if crop_size is not None and scale >= 1:
                logits = openseg_crops(network, view, crop_size=crop_size)
            else:
                logits = resize_bilinear(network(view), scaled_size, align_corners=True)
            logits = swapped(logits.flip(3), flip_pairs) if flipped else logits
            part = weight * resize_bilinear(logits, size, align_corners=True)
            total = part if total is None else total + part
    assert total is not None, 'there is a scale'
    return total


def openseg_crops(network: Network, inputs: Tensor, *, crop_size: tuple[int, int]) -> Tensor:
    """Mean of the logits over non-overlapping crops, the last ones flush with the border.

    Args:
        network: see the head of this file.
        inputs: (N, 3, H, W).
        crop_size: (height, width) in pixels.
    """

    def at_window(window: Tensor) -> Tensor:
        return resize_bilinear(network(window), window.shape[2:], align_corners=True)

    return slide(inputs, at_window, window=crop_size, stride=crop_size)


def openseg_labels(
    logits: Tensor, *, border_size: tuple[int, int], output_size: tuple[int, int]
) -> Tensor:
    """Labels of one image: padding cut off, *cubic* resize to the original size, arg-max.

    Args:
        logits: (K, H, W) at the size of the padded input.
        border_size: (height, width) of the image inside it, at the top left.
        output_size: (height, width) of the original image.

    Returns:
        (height, width) int64.
    """
    cut = logits[:, : border_size[0], : border_size[1]].cpu().numpy()
    best = np.full(output_size, -np.inf, cut.dtype)
    labels = np.zeros(output_size, np.int64)
    for index, plane in enumerate(cut):  # OpenCV limits the number of channels
        plane = cv2.resize(plane.copy(), output_size[::-1], interpolation=cv2.INTER_CUBIC)
        labels[plane > best] = index
        np.maximum(best, plane, out=best)
    return torch.from_numpy(labels)
