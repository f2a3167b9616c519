"""Bilinear resize of feature maps and logits.

Legend: N batch, C channels, (H, W) height and width in pixels of the map at hand.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor


def resize_bilinear(maps: Tensor, size: Sequence[int], *, align_corners: bool) -> Tensor:
    """Maps at ``size``; the very same tensor when it has that size already.

    Unlike ``mmseg.models.utils.resize`` it skips the resize that changes nothing (a full pass over
    the tensor) and does not warn about sizes that are not ``n * x + 1``.

    Args:
        maps: (N, C, h, w) floating point.
        size: (H, W) in pixels.
        align_corners: True puts the corner pixels' centres onto each other, False the corners of
            the two grids.

    Returns:
        (N, C, H, W), dtype and memory format of ``maps``.
    """
    size = torch.Size(size)
    if maps.shape[2:] == size:
        return maps
    return F.interpolate(maps, size=size, mode='bilinear', align_corners=align_corners)


def concat_at_first(maps: Sequence[Tensor], *, align_corners: bool) -> Tensor:
    """Channels of all maps side by side, at the size of the first map.

    Args:
        maps: tensors (N, C_i, h_i, w_i).
        align_corners: see :func:`resize_bilinear`.

    Returns:
        (N, sum of C_i, h_0, w_0).
    """
    size = maps[0].shape[2:]
    return torch.cat([resize_bilinear(m, size, align_corners=align_corners) for m in maps], dim=1)
