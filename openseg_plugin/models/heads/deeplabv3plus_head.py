"""DeepLabV3+ as in NVIDIA/semantic-segmentation (commit 7726b14), which takes its skip at stride 2.

Paper: Chen et al., "Encoder-Decoder with Atrous Separable Convolution", arXiv 1802.02611. Different
from it and from mmseg's head: plain 3x3 convolutions, projections without normalization or
activation, the pooled image first in the pyramid, skip features of the finest map given.

Legend: N batch, K output channels, (h, w) size of the skip map, (h', w') size of the coarse map.
"""

from collections.abc import Sequence
from typing import Any

import torch
from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from torch import Tensor, nn

from openseg_plugin.errors import ConfigError
from openseg_plugin.layers.asp_object_context import dilated_convs
from openseg_plugin.layers.conv import conv_norm_act
from openseg_plugin.layers.resize import resize_bilinear
from openseg_plugin.models.heads.decode_head import DecodeHeadMixin
from openseg_plugin.registry import MODELS


class AtrousPyramid(nn.Module):
    """Mean of the image, a 1x1 and one dilated 3x3 convolution per rate, side by side.

    Args:
        in_channels: channels in.
        channels: of each branch; the result has ``(2 + len(dilations)) * channels``.
        dilations: rates of the 3x3 convolutions, in pixels of the map.
        align_corners: convention of the resize of the pooled branch.
        norm_act: ``norm_cfg`` and ``act_cfg`` of :func:`~openseg_plugin.layers.conv.conv_norm_act`.
    """

    def __init__(
        self,
        in_channels: int,
        channels: int,
        *,
        dilations: Sequence[int],
        align_corners: bool,
        **norm_act: Any,
    ) -> None:
        super().__init__()
        self.align_corners = align_corners
        self.pooled = conv_norm_act(in_channels, channels, 1, **norm_act)
        self.branches = dilated_convs(in_channels, channels, dilations, **norm_act)

    def forward(self, x: Tensor) -> Tensor:
        """(N, in_channels, h, w) -> (N, branches * channels, h, w)."""
        mean = self.pooled(x.mean((2, 3), keepdim=True))
        mean = resize_bilinear(mean, x.shape[2:], align_corners=self.align_corners)
        return torch.cat([mean, *(branch(x) for branch in self.branches)], dim=1)


@MODELS.register_module()
class DeepLabV3PlusHead(DecodeHeadMixin, BaseDecodeHead):
    """Logits at the resolution of the skip map.

    Args:
        in_channels: channels of the coarse map.
        channels: width of pyramid branches, projection and the two 3x3 convolutions.
        skip_in_channels: channels of the skip map.
        skip_channels: what they are projected to.
        skip_index: which of the backbone's maps is the skip map.
        dilations: rates of the pyramid, in pixels of the coarse map; the published ones are for
            stride 8.
        align_corners: convention of every bilinear resize.
        base: further arguments of :class:`DecodeHeadMixin` and mmseg's ``BaseDecodeHead``.

    Raises:
        ConfigError: ``skip_in_channels`` is missing.
    """

    pools_whole_image = True  # to one value per channel, so that one image is too few

    def __init__(
        self,
        in_channels: int,
        channels: int = 256,
        *,
        skip_in_channels: int | None = None,
        skip_channels: int = 48,
        skip_index: int = 0,
        dilations: Sequence[int] = (12, 24, 36),
        align_corners: bool = False,
        **base: Any,
    ) -> None:
        super().__init__(in_channels, channels, align_corners=align_corners, **base)
        if skip_in_channels is None:
            raise ConfigError(
                'DeepLabV3PlusHead needs skip_in_channels, the channels of the map with index '
                f'skip_index={skip_index}'
            )
        self.skip_index = skip_index
        self.pyramid = AtrousPyramid(
            in_channels,
            channels,
            dilations=dilations,
            align_corners=align_corners,
            **self.norm_act,
        )
        width = (2 + len(dilations)) * channels
        self.pyramid_project = nn.Conv2d(width, channels, 1, bias=False)
        self.skip_project = nn.Conv2d(skip_in_channels, skip_channels, 1, bias=False)
        self.convs = nn.Sequential(
            conv_norm_act(channels + skip_channels, channels, 3, **self.norm_act),
            conv_norm_act(channels, channels, 3, **self.norm_act),
        )

    def pixel_features(self, feats: Sequence[Tensor]) -> Tensor:
        """What the classifier sees, (N, channels, h, w), of the backbone's maps."""
        skip = self.skip_project(feats[self.skip_index])
        context = self.pyramid_project(self.pyramid(self._transform_inputs(feats)))
        context = resize_bilinear(context, skip.shape[2:], align_corners=self.align_corners)
        return self.convs(torch.cat([skip, context], dim=1))

    def forward(self, inputs: Sequence[Tensor]) -> Tensor:
        """Logits (N, K, h, w) of the backbone's maps."""
        return self.cls_seg(self.pixel_features(inputs))
