"""Interlaced sparse attention: far pixels first, then near ones.

Paper: Huang, Yuan et al., "Interlaced Sparse Self-Attention for Semantic Segmentation", arXiv
1907.12273. A map is cut into windows of (dh, dw) adjacent pixels. Long range: the pixels at equal
places in their windows see each other. Short range: the pixels of one window see each other. In
two steps each pixel so reaches every other one, at the cost of two sparse attentions.

Sizes that the window does not divide are padded with zeros, the smaller half of the padding on the
left and on top. The padded pixels take part in both attentions and are cut off afterwards, as in
openseg, mmseg and PaddleSeg.

Legend: N batch, C channels, E key channels, D value channels, (H, W) size of the map in its own
pixels.
"""

from collections.abc import Sequence
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from openseg_plugin.layers.exporting import is_exporting
from openseg_plugin.layers.pixel_attention import PixelAttention, on_rows

LONG = 'long'
SHORT = 'short'


def group_pixels(maps: Tensor, window: Sequence[int], *, reach: str) -> Tensor:
    """Pixels of (N, C, H, W) in groups: (N, groups, pixels of a group, C).

    'long': one group per place in the window (row by row), of one pixel of each window.
    'short': one group per window (row by row), of its adjacent pixels.
    """
    blocks = maps.unflatten(3, (-1, window[1])).unflatten(2, (-1, window[0]))
    # blocks: (N, C, window row, row in the window, window column, column in the window)
    order = (0, 3, 5, 2, 4, 1) if reach == LONG else (0, 2, 4, 3, 5, 1)
    return blocks.permute(order).flatten(3, 4).flatten(1, 2)


def ungroup_pixels(
    grouped: Tensor, window: Sequence[int], *, reach: str, size: Sequence[int]
) -> Tensor:
    """The inverse of :func:`group_pixels`: (N, C, H, W) of size (H, W)."""
    windows = (size[0] // window[0], size[1] // window[1])
    outer, inner = (window, windows) if reach == LONG else (windows, window)
    blocks = grouped.unflatten(2, tuple(inner)).unflatten(1, tuple(outer))
    # (N, window row, window column, row in it, column in it, C), or with the pairs swapped
    order = (0, 5, 3, 1, 4, 2) if reach == LONG else (0, 5, 1, 3, 2, 4)
    return blocks.permute(order).flatten(4, 5).flatten(2, 3)


def padding_of(size: Sequence[int], window: Sequence[int]) -> tuple[int, int, int, int]:
    """Pixels to add (left, right, top, bottom) so that the window divides (H, W)."""
    # of the number of windows, from which a recorded graph knows that they divide the padded size
    windows = [(side - 1) // step + 1 for side, step in zip(size, window)]
    rows, columns = (n * step - side for n, side, step in zip(windows, size, window))
    left, top = columns // 2, rows // 2
    return left, columns - left, top, rows - top


class WindowAttention(PixelAttention):
    """:class:`PixelAttention` whose pixels only see those of their group.

    Args: as :class:`PixelAttention`, and

        window: (rows, columns) of a window, in pixels.
        reach: 'long' or 'short'.
    """

    def __init__(
        self,
        channels: int,
        key_channels: int,
        *,
        window: Sequence[int],
        reach: str,
        **projections: Any,
    ) -> None:
        super().__init__(channels, key_channels, **projections)
        self.window = tuple(window)
        self.reach = reach

    def group(self, maps: Tensor) -> Tensor:
        """See :func:`group_pixels`."""
        return group_pixels(maps, self.window, reach=self.reach)

    def ungroup(self, grouped: Tensor, size: Sequence[int]) -> Tensor:
        """See :func:`ungroup_pixels`."""
        return ungroup_pixels(grouped, self.window, reach=self.reach, size=size)


class InterlacedAttention(nn.Module):
    """Long-range, then short-range context (N, C, H, W) of a map of any size.

    The pixels are brought into the order of their groups once, before the projections: these are
    1x1 convolutions, to which the order is all the same.

    Args:
        channels: C of input and output.
        key_channels: width of queries and keys.
        window: (rows, columns) of a window, in pixels; the paper's partition factors.
        projections: further arguments of :class:`PixelAttention`: ``norm_cfg``, ``act_cfg``, and
            ``value_bias`` (mmseg, PaddleSeg: True; openseg: False).
    """

    def __init__(
        self,
        channels: int,
        key_channels: int,
        *,
        window: Sequence[int],
        **projections: Any,
    ) -> None:
        super().__init__()
        self.window = tuple(window)
        options = dict(
            window=self.window, value_channels=channels, with_output_norm=True, **projections
        )
        self.global_relation = WindowAttention(channels, key_channels, reach=LONG, **options)
        self.local_relation = WindowAttention(channels, key_channels, reach=SHORT, **options)

    def forward(self, feats: Tensor) -> Tensor:
        """Context (N, C, H, W) of ``feats`` (N, C, H, W)."""
        height, width = feats.shape[2:]
        padding = padding_of((height, width), self.window)
        if is_exporting() or any(padding):  # F.pad copies, even by nothing
            feats = F.pad(feats, padding)
        size = feats.shape[2:]
        far, near = self.global_relation, self.local_relation
        rows = far.attended(far.group(feats).contiguous())
        # activated when it is in the next order: training keeps one copy of it, not two
        rows = on_rows(far.output_project, rows, activate=False)
        rows = near.group(far.ungroup(rows, size)).contiguous()
        if far.output_project.with_activation:
            rows = far.output_project.activate(rows)
        context = near.ungroup(on_rows(near.output_project, near.attended(rows)), size)
        left, _, top, _ = padding
        return context[:, :, top : top + height, left : left + width]
