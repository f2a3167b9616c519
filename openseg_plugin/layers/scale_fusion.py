"""Hierarchical fusion of predictions at multiple scales, from the finest pass to the coarsest.

Paper: Tao, Sapra, Catanzaro, "Hierarchical Multi-Scale Attention for Semantic Segmentation",
arXiv 2005.10821, Sec. 3.1; rules as in NVIDIA/semantic-segmentation (commit 7726b14) and
PaddleSeg's CityscapesSOTA, which agree but for the coordinates of the scaled image.

With logits L and weights a of a pass, both resized to that pass's own input, and p the result of
the finer passes:

* a pass at scale 1 or above replaces p, resized to its input, by a * L + (1 - a) * p;
* a pass below 1 replaces p by up(a * L) + up(1 - a) * p, the product formed before it is enlarged.

Legend: N batch, K classes, (h, w) size of a head's output, (H, W) size of a pass's own input.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction

import torch
import torch.nn.functional as F
from torch import Tensor

from openseg_plugin.layers.exporting import is_exporting
from openseg_plugin.layers.resize import resize_bilinear, sample_axis

CHUNK_BYTES = 2**28  # full-size scores of the classes that are fused at a time
_EXACT = 64  # denominators of scales such as 0.5, 1.75: their products with sides are exact
Size = tuple[int, int]


def scaled_size(size: Sequence[int], scale: float) -> Size:
    """(H, W) of an image of ``size`` at ``scale``: rounded down, as ``F.interpolate`` does."""
    exact = Fraction(scale)
    if exact.denominator <= _EXACT:  # whole numbers, which a recorded graph can reason about
        height, width = (side * exact.numerator // exact.denominator for side in size)
    else:
        height, width = (math.floor(side * scale) for side in size)
    return height, width


def scaled_image(images: Tensor, scale: float, *, exact_ratio: bool) -> Tensor:
    """Images (N, C, H, W) at ``scale``, bilinear; the very same tensor at scale 1.

    Args:
        images: floating point.
        scale: sides are multiplied with it and rounded down.
        exact_ratio: sample every 1 / scale pixels even where the sides were rounded, at places
            computed in float32 whatever the images are (PaddleSeg; 1.5 and 2.5 have no exact
            inverse); otherwise the corners of the two grids lie on each other (NVIDIA).
    """
    if scale == 1:
        return images
    # torch's own resize by a factor asks a recorded size for its product with a broken number
    if exact_ratio and (is_exporting() or images.dtype == torch.float64):
        return _at_float32_places(images, scale)
    if exact_ratio:
        return F.interpolate(
            images,
            scale_factor=scale,
            mode='bilinear',
            align_corners=False,
            recompute_scale_factor=False,
        )
    size = scaled_size(images.shape[2:], scale)
    return F.interpolate(images, size=size, mode='bilinear', align_corners=False)


def _at_float32_places(images: Tensor, scale: float) -> Tensor:
    """As ``F.interpolate`` samples float32 images; of float64 ones it takes finer places."""
    ratio = 1 / torch.tensor(scale, dtype=torch.float32)
    for axis, length in zip((2, 3), scaled_size(images.shape[2:], scale)):
        index = torch.arange(length, dtype=torch.float32)
        place = ratio * (index + 0.5) - 0.5
        images = sample_axis(images, place.to(images.device), axis)
    return images


def fuse(
    before: Tensor,
    logits: Tensor,
    attention: Tensor,
    *,
    before_size: Size,
    own: Size,
    size: Size,
    align_corners: bool,
) -> Tensor:
    """The result of the passes so far with one more, coarser pass.

    Maps are enlarged a few classes at a time, so that beside the result nothing full-sized stays.

    Args:
        before: (N, K, h', w'): the finest pass's logits at any resolution, then the result so far.
        logits: (N, K, h, w) of this pass.
        attention: (N, 1, h, w) of this pass, 0 to 1.
        before_size: (H, W) of the finest pass's input, then of the result so far.
        own: (H, W) of this pass's input.
        size: (H, W) of the result: ``own`` for a pass at scale 1 or above, else ``before_size``.
        align_corners: convention of the resizes.

    Returns:
        (N, K, H, W) of ``size``.
    """

    def resized(maps: Tensor, size: Size) -> Tensor:
        return resize_bilinear(maps, size, align_corners=align_corners)

    weight = resized(attention, own)
    rest = 1 - resized(weight, size)

    def blend(part: Tensor, before: Tensor) -> Tensor:
        part = resized(weight * resized(part, own), size)
        return part + rest * resized(resized(before, before_size), size)

    largest = max(own, (before_size[0], before_size[1]))
    return _by_classes([logits, before], blend, size=size, largest=largest)


def _by_classes(
    maps: Sequence[Tensor], function: Callable[..., Tensor], *, size: Size, largest: Size
) -> Tensor:
    """``function`` of a few classes of all ``maps`` at a time; in one go where it is learned from.

    The result has the dtype of the function's; (N, K, H, W) of ``size``.
    """
    first = maps[0]
    if is_exporting() or any(one.requires_grad for one in maps):
        return function(*maps)
    plane = len(first) * largest[0] * largest[1] * first.element_size()
    step = max(1, CHUNK_BYTES // plane)
    if step >= first.shape[1]:
        return function(*maps)
    result = None
    for classes in _steps(first.shape[1], step):
        part = function(*(one[:, classes] for one in maps))
        if result is None:
            result = part.new_empty((len(first), first.shape[1], *size))
        result[:, classes] = part
    assert result is not None, 'a map has a class'
    return result


def _steps(count: int, step: int) -> Iterator[slice]:
    return (slice(start, start + step) for start in range(0, count, step))


def full_precision(maps: Tensor) -> Tensor:
    """float32, also from half precision; float64 stays."""
    return maps if maps.dtype == torch.float64 else maps.float()
