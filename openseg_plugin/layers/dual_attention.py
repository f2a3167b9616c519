"""Dual attention: between all pixels, and between all channels.

Paper: Fu et al., "Dual Attention Network for Scene Segmentation", arXiv 1809.02983, Sec. 3.2 and
3.3. Key names are those of mmseg's DAHead. Deliberately different from it: no map of pixels times
pixels is kept, see :func:`pixel_attention.attend` and :func:`attend_by_key`.

Polarized self-attention weighs channels and pixels too, but each by one number for all of the map.

Paper: Liu et al., "Polarized Self-Attention", arXiv 2107.00782, Sec. 3.2 (the parallel layout), as
PaddleSeg builds it: without the paper's LayerNorm.

Legend: N batch, C channels, E key channels, (H, W) size of the map in its own pixels, P = H * W.
"""

import torch
from mmcv.cnn import Scale
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from openseg_plugin.layers.exporting import is_exporting
from openseg_plugin.layers.pixel_attention import attend

NORMALIZATIONS = ('keys', 'queries')
BLOCK = 1024  # keys that are looked at together by attend_by_key


def attend_by_key(query: Tensor, key: Tensor, value: Tensor, *, block: int = BLOCK) -> Tensor:
    """Sum of the values, weighted by a softmax over *queries* of query . key.

    Every key hands out its value to the queries in fractions that sum to one, so that the weights a
    pixel receives do not. The key's column of the (P, P) map is all that a fraction depends on, so
    the keys go in blocks, and training computes each block again in the backward pass.

    Args:
        query: (N, P, E).
        key: (N, Q, E).
        value: (N, Q, C).
        block: number of keys per block; affects memory (N * P * block numbers) and speed only.

    Returns:
        (N, P, C).
    """
    if is_exporting():  # the number of blocks would be a constant of the graph
        return _fractions(query, key, value)
    total = value.new_zeros(*query.shape[:2], value.shape[2])
    for keys, values in zip(key.split(block, dim=1), value.split(block, dim=1)):
        if torch.is_grad_enabled() and key.shape[1] > block:
            total = total + checkpoint(_fractions, query, keys, values, use_reentrant=False)
        else:
            total = total + _fractions(query, keys, values)
    return total


def _fractions(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    weights_NPQ = torch.matmul(query, key.transpose(1, 2)).softmax(dim=1)
    return torch.matmul(weights_NPQ, value)


class PositionAttention(nn.Module):
    """``x + gamma * context`` of maps (N, C, H, W): every pixel sees all pixels.

    Args:
        channels: C.
        key_channels: width of query and key.
        normalize_over: 'keys': the weights of a pixel sum to one, as in the paper. 'queries': as
            in pytorch-cv, which transposed the map; its weights need it.

    Raises:
        ValueError: unknown ``normalize_over``.
    """

    def __init__(self, channels: int, key_channels: int, *, normalize_over: str = 'keys') -> None:
        super().__init__()
        if normalize_over not in NORMALIZATIONS:
            raise ValueError(f'normalize_over is {normalize_over!r}, but must be {NORMALIZATIONS}')
        self.normalize_over = normalize_over
        self.query_project = nn.Conv2d(channels, key_channels, 1)
        self.key_project = nn.Conv2d(channels, key_channels, 1)
        self.value_project = nn.Conv2d(channels, channels, 1)
        self.gamma = Scale(0.0)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, H, W)."""
        projections = (self.query_project, self.key_project, self.value_project)
        query, key, value = (project(x).flatten(2).transpose(1, 2) for project in projections)
        if self.normalize_over == 'queries':
            context = attend_by_key(query, key, value)
        else:
            context = attend(query * query.shape[2] ** 0.5, key, value)  # the paper does not scale
        return self.gamma(context.transpose(1, 2).unflatten(2, x.shape[2:])) + x


class ChannelAttention(nn.Module):
    """``x + gamma * context`` of maps (N, C, H, W): every channel sees all channels.

    The weights are a softmax of (the largest similarity of a channel - similarity), so that unlike
    channels count most.
    """

    def __init__(self) -> None:
        super().__init__()
        self.gamma = Scale(0.0)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, H, W)."""
        rows = x.flatten(2)
        energy_NCC = torch.matmul(rows, rows.transpose(1, 2))
        weights_NCC = (energy_NCC.amax(dim=2, keepdim=True) - energy_NCC).softmax(dim=2)
        return self.gamma(torch.matmul(weights_NCC, rows).unflatten(2, x.shape[2:])) + x


class PolarizedAttention(nn.Module):
    """Maps (N, C, H, W) weighed per channel, plus the same maps weighed per pixel.

    The weight of a channel comes from the maps' mean under a learned softmax over pixels; the
    weight of a pixel is the sigmoid of a softmax over pixels of its likeness to the mean pixel.

    Args:
        channels: C, even.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        inner = channels // 2
        self.channel_query = nn.Conv2d(channels, 1, 1, bias=False)
        self.channel_value = nn.Conv2d(channels, inner, 1, bias=False)
        self.channel_out = nn.Conv2d(inner, channels, 1, bias=False)
        self.pixel_query = nn.Conv2d(channels, inner, 1, bias=False)
        self.pixel_value = nn.Conv2d(channels, inner, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, H, W)."""
        return x * (self._of_channels(x) + self._of_pixels(x))

    def _of_channels(self, x: Tensor) -> Tensor:
        """(N, C, 1, 1), 0 to 1."""
        weights = self.channel_query(x).flatten(2).softmax(dim=2)
        mean = torch.matmul(self.channel_value(x).flatten(2), weights.transpose(1, 2))
        return self.channel_out(mean[..., None]).sigmoid()

    def _of_pixels(self, x: Tensor) -> Tensor:
        """(N, 1, H, W), 0.5 to 1: a softmax goes into the sigmoid."""
        mean = self.pixel_query(x).mean((2, 3))[:, None]
        likeness = torch.matmul(mean, self.pixel_value(x).flatten(2))
        return likeness.softmax(dim=2).unflatten(2, x.shape[2:]).sigmoid()
