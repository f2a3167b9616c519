"""Exact distances to the edge of every region of a label map, and their gradient, on any device.

The maps SegFix is trained on (ECCV 2020, Sec. 3.2): from each pixel the distance to the nearest
pixel of another region, for all regions in one pass. Made for a GPU, where some hundred shifted
minima are cheap; on a CPU ``openseg_plugin.segfix.targets`` gets the same maps faster from OpenCV.

Legend: N batch, H, W size in pixels. Region 0 is no region: distance and gradient are zero there.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

_FAR = 1 << 15  # rows to an edge where the column has none; its square still fits int32
_CHECK_EVERY = 16  # columns between two looks whether anything can still get nearer


def extended_sobel(kernel_size: int) -> tuple[list[list[float]], list[list[float]]]:
    """Row and column weights of the gradient: j / (i^2 + j^2) and i / (i^2 + j^2), center 0.

    Args:
        kernel_size: odd, at least 3; j counts rows and i columns from the center.

    Raises:
        ValueError: for an even or smaller size.
    """
    if kernel_size < 3 or kernel_size % 2 == 0:
        raise ValueError(f'kernel_size={kernel_size}: an odd number of at least 3 is needed')
    steps = range(-(kernel_size // 2), kernel_size // 2 + 1)
    rows = [[j / (i * i + j * j) if i or j else 0.0 for i in steps] for j in steps]
    columns = [list(column) for column in zip(*rows)]
    return rows, columns


def _rows_to_edge(regions: Tensor) -> Tensor:
    """Rows to the nearest pixel of another region in the same column, (N, H, W) int32."""
    rows = torch.arange(regions.shape[-2], device=regions.device, dtype=torch.int32)[:, None]
    edge = regions[:, 1:] != regions[:, :-1]  # (N, H - 1, W): between a row and the next one
    above = torch.full(regions.shape, -_FAR, device=regions.device, dtype=torch.int32)
    below = torch.full_like(above, _FAR)
    above[:, 1:] = torch.where(edge, rows[:-1], -_FAR)
    below[:, :-1] = torch.where(edge, rows[1:], _FAR)
    above = above.cummax(dim=-2).values
    below = below.flip(-2).cummin(dim=-2).values.flip(-2)
    return torch.minimum(rows - above, below - rows).clamp_(max=_FAR)


def region_distance(regions: Tensor, *, limit: int | None = None) -> Tensor:
    """Euclidean distance in pixels to the nearest pixel of another region, (N, H, W) float32.

    The border of the image is no edge. An image that is one single region has no edge either:
    its distances are those to a point above the top left pixel, as scipy's are.

    Args:
        regions: (N, H, W) integers; 0 = no region.
        limit: distances are exact up to here and equal to ``limit`` beyond; None has no limit.
    """
    height, width = regions.shape[-2:]
    limit = height + width if limit is None else limit
    vertical = _rows_to_edge(regions) ** 2
    nearest = vertical.clone()
    for step in range(1, min(limit, width - 1) + 1):
        if step % _CHECK_EVERY == 0 and step * step >= int(nearest.max()):
            break
        right, left = slice(step, None), slice(0, -step)
        same = regions[..., right] == regions[..., left]
        for here, there in ((left, right), (right, left)):
            # a pixel of another region in this row is an edge itself: zero rows away from one
            sideways = torch.where(same, vertical[..., there], 0) + step * step
            nearest[..., here] = torch.minimum(nearest[..., here], sideways)
    rows = torch.arange(1, height + 1, device=regions.device)[:, None]
    phantom = rows**2 + torch.arange(width, device=regions.device) ** 2
    single = (regions == regions[:, :1, :1]).flatten(1).all(1)[:, None, None]
    nearest = torch.where(single, phantom, nearest).clamp_(max=limit * limit)
    return nearest.to(torch.float32).sqrt_().masked_fill_(regions == 0, 0)


def distance_gradient(
    distance: Tensor, regions: Tensor, *, kernel_size: int = 5
) -> tuple[Tensor, Tensor]:
    """Growth of the distance along rows and columns inside each region, 2 x (N, H, W) float32.

    Cross-correlation with the extended Sobel pair; other regions and what lies outside of the
    image count as distance zero, so the gradient bends at the image's border.

    Args:
        distance: (N, H, W) float32 of :func:`region_distance`.
        regions: (N, H, W) integers; 0 = no region.
        kernel_size: odd side of the window in pixels.
    """
    height, width = regions.shape[-2:]
    radius = kernel_size // 2
    distance = F.pad(distance, [radius] * 4)
    padded = F.pad(regions, [radius] * 4)
    by_row, by_column = (torch.zeros_like(regions, dtype=torch.float32) for _ in range(2))
    row_weights, column_weights = extended_sobel(kernel_size)
    for i in range(kernel_size):
        for j in range(kernel_size):
            window = (..., slice(i, i + height), slice(j, j + width))
            inside = torch.where(padded[window] == regions, distance[window], 0.0)
            by_row += row_weights[i][j] * inside
            by_column += column_weights[i][j] * inside
    void = regions == 0
    return by_row.masked_fill_(void, 0), by_column.masked_fill_(void, 0)
