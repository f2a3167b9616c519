"""PSPNet: what the image shows in squares of several sizes, beside each pixel.

Paper: Zhao et al., "Pyramid Scene Parsing Network", arXiv 1612.01105, Sec. 3.2. Key names are those
of mmseg's PSPHead, which this head is but for the resizes (mmseg's warn about aligned corners).

Legend: N batch, K output channels, (h, w) size of the head's input map.
"""

from collections.abc import Sequence
from typing import Any

import torch
from mmseg.models.decode_heads.psp_head import PPM
from mmseg.models.decode_heads.psp_head import PSPHead as MMSegPSPHead
from torch import Tensor, nn

from openseg_plugin.layers.conv import conv_norm_act
from openseg_plugin.layers.exporting import is_exporting
from openseg_plugin.layers.resize import grid_means, resize_bilinear
from openseg_plugin.models.heads.decode_head import DecodeHeadMixin
from openseg_plugin.registry import MODELS


@MODELS.register_module()
class PSPHead(DecodeHeadMixin, MMSegPSPHead):
    """Logits from a map and its means over grids of several sizes.

    Args:
        in_channels: see :class:`DecodeHeadMixin`.
        channels: width of the features that are classified.
        pool_scales: cells per side of each grid. (1, 2, 3, 6) in the paper; weights of
            pytorch-cv need (1, 2, 3, 4), those of PaddleSeg (6, 3, 2, 1).
        pool_channels: width of each pooled map; None: ``channels``. PaddleSeg has 512 beside 1024.
        base: further arguments of :class:`DecodeHeadMixin` and mmseg's ``BaseDecodeHead``.
    """

    def __init__(
        self,
        in_channels: int | Sequence[int],
        channels: int = 512,
        *,
        pool_scales: Sequence[int] = (1, 2, 3, 6),
        pool_channels: int | None = None,
        **base: Any,
    ) -> None:
        super().__init__(in_channels, channels, pool_scales=tuple(pool_scales), **base)
        if pool_channels not in (None, channels):
            self.psp_modules = PPM(
                self.pool_scales,
                self.in_channels,
                pool_channels,
                conv_cfg=self.conv_cfg,
                align_corners=self.align_corners,
                **self.norm_act,
            )
            width = self.in_channels + len(self.pool_scales) * pool_channels
            self.bottleneck = conv_norm_act(width, channels, 3, **self.norm_act)

    @staticmethod
    def _pooled(maps: Tensor, pool: nn.Sequential) -> Tensor:
        if not is_exporting():
            return pool(maps)
        mean: Any = pool[0]
        return pool[1](grid_means(maps, int(mean.output_size)))

    def forward(self, inputs: Sequence[Tensor]) -> Tensor:
        """Logits (N, K, h, w) of the backbone's maps."""
        x = self._transform_inputs(inputs)
        pooled = [
            resize_bilinear(self._pooled(x, pool), x.shape[2:], align_corners=self.align_corners)
            for pool in self.psp_modules
        ]
        return self.cls_seg(self.bottleneck(torch.cat([x, *pooled], dim=1)))
