"""Attention between the pixels of one map (non-local block, OCNet's base object context).

Papers: Wang et al., "Non-local Neural Networks", arXiv 1711.07971; Yuan et al., "OCNet: Object
Context for Semantic Segmentation", arXiv 1809.00916, Sec. 3.2. The weights are never stored: a map
of 1024 x 2048 pixels at stride 8 has 32768 pixels, and a weight for each pair of them would take
4 GiB in float32.

Legend: N batch, C channels, E key channels, D value channels, (H, W) size of the map in its own
pixels, P = H * W.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from mmcv.cnn import ConvModule
from torch import Tensor, nn

from openseg_plugin.layers.conv import conv_norm_act
from openseg_plugin.layers.exporting import is_exporting
from openseg_plugin.layers.resize import resize_bilinear


def attend(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Means of the values, weighted by a softmax over keys of query . key / sqrt(E).

    With few keys the weights are written out: they take less memory than a second copy of the
    result. The kernels that keep no weights want values as wide as keys; wider values are cut into
    groups that share query and key, narrower ones are filled up with zeros.

    Args:
        query: (..., P, E).
        key: (..., Q, E).
        value: (..., Q, D).

    Returns:
        (..., P, D).
    """
    # a pixel's numbers side by side, or the kernel that keeps all weights is taken
    query, key, value = query.contiguous(), key.contiguous(), value.contiguous()
    if not is_exporting() and 2 * key.shape[-2] <= value.shape[-1]:
        scores = torch.matmul(query, key.transpose(-1, -2)).mul_(query.shape[-1] ** -0.5)
        return torch.matmul(scores.softmax(dim=-1), value)
    return _attend_by_kernel(query, key, value)


def _attend_by_kernel(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    width, value_width = query.shape[-1], value.shape[-1]
    groups = -(-value_width // width)
    if value_width % width:
        value = F.pad(value, (0, groups * width - value_width))
    lead, (rows, keys) = query.shape[:-2], (query.shape[-2], key.shape[-2])
    query = query.reshape(-1, 1, rows, width).expand(-1, groups, -1, -1)
    key = key.reshape(-1, 1, keys, width).expand(-1, groups, -1, -1)
    value = value.reshape(-1, keys, groups, width).transpose(1, 2)
    context = F.scaled_dot_product_attention(query, key, value)  # (batch, groups, P, E)
    context = context.transpose(1, 2).reshape(*lead, rows, groups * width)
    return context[..., :value_width]


class PixelAttention(nn.Module):
    """Context (N, out_channels, H, W) of each pixel of a map (N, channels, H, W).

    =================  ==============  =============  =================  ===================
    option             OCNet           pytorch-cv     ISA                ISA of mmseg, Paddle
    =================  ==============  =============  =================  ===================
    key_convs          2               1              2                  2
    is_key_shared      False           True           False              False
    conv_bias          True            True           False              False
    value_bias         True            True           False              True
    with_output_norm   False           False          True               True
    =================  ==============  =============  =================  ===================

    Args:
        channels: C of the input.
        key_channels: width of query and key.
        value_channels: width of the values.
        out_channels: width of the output; None: ``channels``.
        pool_stride: side of the max pool in front; the context is resized back, bilinearly.
        key_convs: number of convolutions that make queries, and of those that make keys.
        is_key_shared: the queries are the keys.
        conv_bias: bias on the convolutions in front of a normalization.
        value_bias: bias on the convolution of the values.
        with_output_norm: normalization and activation behind the last convolution. Without them
            it starts at zero, so that training starts without context.
        align_corners: convention of the resize behind the pool.
        norm_cfg: normalization, as mmcv builds it.
        act_cfg: activation, as mmcv builds it.
    """

    def __init__(
        self,
        channels: int,
        key_channels: int,
        *,
        value_channels: int,
        out_channels: int | None = None,
        pool_stride: int = 1,
        key_convs: int = 2,
        is_key_shared: bool = False,
        conv_bias: bool = False,
        value_bias: bool = True,
        with_output_norm: bool = False,
        align_corners: bool = True,
        norm_cfg: dict | None,
        act_cfg: dict | None,
    ) -> None:
        super().__init__()
        self.pool_stride = pool_stride
        self.align_corners = align_corners
        out_channels = out_channels or channels

        def project(in_channels: int, width: int) -> ConvModule:
            return conv_norm_act(
                in_channels, width, 1, norm_cfg=norm_cfg, act_cfg=act_cfg, bias=conv_bias
            )

        def projections() -> nn.Sequential:
            widths = [channels, *[key_channels] * key_convs]
            return nn.Sequential(*map(project, widths, widths[1:]))

        self.key_project = projections()
        self.query_project = None if is_key_shared else projections()
        self.value_project = nn.Conv2d(channels, value_channels, 1, bias=value_bias)
        if with_output_norm:
            self.output_project = project(value_channels, out_channels)
        else:
            self.output_project = nn.Conv2d(value_channels, out_channels, 1)
            nn.init.zeros_(self.output_project.weight)
            nn.init.zeros_(self.output_project.bias)

    def group(self, maps: Tensor) -> Tensor:
        """Pixels of (N, C, H, W) as (N, groups, P, C), P that see each other: here all."""
        return maps.flatten(2).transpose(1, 2).unsqueeze(1)

    def ungroup(self, grouped: Tensor, size: Sequence[int]) -> Tensor:
        """The inverse of :meth:`group` for a map of size (H, W)."""
        return grouped.squeeze(1).transpose(1, 2).unflatten(2, tuple(size))

    def forward(self, feats: Tensor) -> Tensor:
        """Context (N, out_channels, H, W) of ``feats`` (N, C, H, W)."""
        size = feats.shape[2:]
        if self.pool_stride > 1:
            # a side shorter than the pool has nothing to be pooled with
            feats = F.max_pool2d(feats, [min(self.pool_stride, side) for side in size])
        pooled, context = feats.shape[2:], self.attended(self.group(feats).contiguous())
        context = self.ungroup(on_rows(self.output_project, context), pooled)
        return resize_bilinear(context, size, align_corners=self.align_corners)

    def attended(self, rows: Tensor) -> Tensor:
        """What the output is projected from, (N, groups, P, D), of rows (N, groups, P, C)."""
        key = on_rows(self.key_project, rows)
        query = key if self.query_project is None else on_rows(self.query_project, rows)
        return attend(query, key, on_rows(self.value_project, rows))


def on_rows(convolutions: nn.Module, rows: Tensor, **options: bool) -> Tensor:
    """1x1 convolutions of rows (N, groups, P, C): rows of another width.

    Rows are what a convolution takes for a map with channels last: nothing is copied.

    Args:
        convolutions: the module.
        rows: contiguous.
        options: of the module's ``forward``.
    """
    return convolutions(rows.permute(0, 3, 1, 2), **options).permute(0, 2, 3, 1)
