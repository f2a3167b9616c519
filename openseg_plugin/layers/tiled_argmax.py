"""Label maps from low-resolution scores without a full-size score map.

N batch, K classes, h, w size of the scores, H, W size of the label map in pixels.
"""

import dataclasses

from torch import Tensor

from openseg_plugin.layers.resize import resize_bilinear


@dataclasses.dataclass(frozen=True)
class Geometry:
    """How a network's scores lie on the picture they were made for.

    Attributes:
        input_size: (H, W) of the network's input: the scores are resized to it.
        padding: pixels of ``input_size`` at (left, right, top, bottom) that are not picture.
        flip: 'horizontal' or 'vertical' where the network saw the picture mirrored.
        output_size: (H, W) of the original picture; None keeps the unpadded input size.
    """

    input_size: tuple[int, int]
    padding: tuple[int, int, int, int] = (0, 0, 0, 0)
    flip: str | None = None
    output_size: tuple[int, int] | None = None

    @property
    def final_size(self) -> tuple[int, int]:
        """(H, W) of the result."""
        left, right, top, bottom = self.padding
        size = (self.input_size[0] - top - bottom, self.input_size[1] - left - right)
        return tuple(self.output_size or size)


def place(scores: Tensor, geometry: Geometry, *, align_corners: bool) -> Tensor:
    """Scores on the original picture: resized, unpadded, mirrored back, resized.

    Args:
        scores: (N, K, h, w).
        geometry: where they belong.
        align_corners: convention of both resizes.

    Returns:
        (N, K, H, W), (H, W) = ``geometry.final_size``.
    """
    scores = resize_bilinear(scores, geometry.input_size, align_corners=align_corners)
    left, right, top, bottom = geometry.padding
    height, width = scores.shape[2:]
    scores = scores[:, :, top : height - bottom, left : width - right]
    if geometry.flip is not None:
        scores = scores.flip(3 if geometry.flip == 'horizontal' else 2)
    return resize_bilinear(scores, geometry.final_size, align_corners=align_corners)


def label_map(scores: Tensor, geometry: Geometry, *, align_corners: bool) -> Tensor:
    """Class of the highest score at every pixel of the original picture, (N, H, W) int64.

    Args:
        scores: (N, K, h, w) logits or probabilities.
        geometry: where they belong.
        align_corners: convention of the resizes.
    """
    return place(scores, geometry, align_corners=align_corners).argmax(1)
