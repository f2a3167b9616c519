"""Means over a grid of cells, as matrix products: right at every size of a recorded graph.

``nn.AdaptiveAvgPool2d`` is recorded with the bins of one size. The bins are those of torch: cell i
of n covers rows floor(i * H / n) up to, but without, ceil((i + 1) * H / n), so that neighbours
share a row where n does not divide H, and a side may be shorter than n.

Legend: N batch, C channels, (H, W) size of the map in its own pixels.
"""

import torch
from torch import Tensor


def grid_means(maps: Tensor, cells: int) -> Tensor:
    """Means (N, C, cells, cells) of maps (N, C, H, W), floating point."""
    rows = _averages(maps.shape[2], cells, maps)
    columns = _averages(maps.shape[3], cells, maps)
    return torch.matmul(torch.matmul(rows, maps), columns.transpose(0, 1))


def _averages(side: int, cells: int, like: Tensor) -> Tensor:
    """(cells, side): row i holds the weights of the pixels that cell i is the mean of."""
    pixel = torch.arange(side, device=like.device)
    cell = torch.arange(cells, device=like.device).unsqueeze(1)
    first = torch.div(cell * side, cells, rounding_mode='floor')
    # ceil of a quotient of whole numbers above zero, without the sign that targets truncate
    last = torch.div((cell + 1) * side - 1, cells, rounding_mode='floor')
    inside = ((pixel >= first) & (pixel <= last)).to(like.dtype)
    return inside / (last - first + 1).to(like.dtype)
