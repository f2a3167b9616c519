"""Criss-cross attention: each pixel attends to its row and its column.

Paper: Huang et al., "CCNet: Criss-Cross Attention for Semantic Segmentation", arXiv 1811.11721,
Sec. 3.2. The authors wrote a CUDA extension; here it is two batched matrix products per direction.
Key names are those of mmcv's CrissCrossAttention, which computes the same.

Legend: N batch, C channels, E key channels, (H, W) size of the map in its own pixels.
"""

import torch
from mmcv.cnn import Scale
from torch import Tensor, nn


def criss_cross(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Mean of the values in a pixel's row and column, weighted by a softmax over query . key.

    The softmax runs over H + W - 1 positions: the pixel itself lies on both lines and counts once.

    Args:
        query: (N, E, H, W).
        key: (N, E, H, W).
        value: (N, C, H, W).

    Returns:
        (N, C, H, W).
    """
    height, width = query.shape[2:]
    in_row = torch.matmul(query.permute(0, 2, 3, 1), key.permute(0, 2, 1, 3))  # (N, H, W, W)
    in_column = torch.matmul(query.permute(0, 3, 2, 1), key.permute(0, 3, 1, 2))  # (N, W, H, H)
    itself = torch.eye(height, dtype=torch.bool, device=query.device)
    in_column = in_column.masked_fill(itself, -torch.inf)
    scores = torch.cat([in_row, in_column.transpose(1, 2)], dim=3)  # (N, H, W, W + H)
    row, column = scores.softmax(dim=3).split([width, height], dim=3)
    from_row = torch.matmul(row, value.permute(0, 2, 3, 1))  # (N, H, W, C)
    from_column = torch.matmul(column.transpose(1, 2), value.permute(0, 3, 2, 1))  # (N, W, H, C)
    return (from_row + from_column.transpose(1, 2)).permute(0, 3, 1, 2)


class CrissCrossAttention(nn.Module):
    """``x + gamma * context`` of maps (N, C, H, W); gamma is learned and starts at 0.

    Args:
        channels: C.
        key_channels: width of query and key. None: an eighth of ``channels``, as in the paper.
    """

    def __init__(self, channels: int, key_channels: int | None = None) -> None:
        super().__init__()
        key_channels = key_channels or max(1, channels // 8)
        self.query_conv = nn.Conv2d(channels, key_channels, 1)
        self.key_conv = nn.Conv2d(channels, key_channels, 1)
        self.value_conv = nn.Conv2d(channels, channels, 1)
        self.gamma = Scale(0.0)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, H, W)."""
        context = criss_cross(self.query_conv(x), self.key_conv(x), self.value_conv(x))
        return self.gamma(context) + x
