"""BiSeNet in the form of pytorch-cv: spatial path, context path, fusion.

Paper: Yu et al., "BiSeNet: Bilateral Segmentation Network for Real-time Semantic Segmentation",
arXiv 1808.00897. mmseg's BiSeNetV1 is the paper's network; weights of pytorch-cv need this form,
which differs from it:

* the attention refinement has a ReLU in front of its sigmoid, so no channel falls below one half;
* the pooled context is added after the refinement of the deepest map, before it is enlarged;
* the two convolutions of the fusion's attention have biases, a quarter of the width between them,
  and no normalization;
* resizes are bilinear with aligned corners (mmseg: nearest).

Legend: N batch, (H, W) size of the image, x8 and x16 maps at an eighth and a sixteenth of it.
"""

from functools import partial

import torch
from mmcv.cnn import ConvModule
from mmengine.model import BaseModule
from torch import Tensor, nn

from openseg_plugin.layers.resize import resize_bilinear
from openseg_plugin.models.heads.decode_head import BATCH_NORM
from openseg_plugin.registry import MODELS

SPATIAL_CHANNELS = 64


@MODELS.register_module()
class BiSeNet(BaseModule):
    """Three maps: fused (2 * channels, x8), context at x8 and context at x16 (channels each).

    The first is for the decode head, the others for auxiliary heads.

    Args:
        context: config of the backbone of the context path, with four maps; the last two, of
            stride 16 and 32, are used.
        context_channels: widths of those two.
        channels: width of the context, and of the spatial path's result.
        norm_cfg: normalization, as mmcv builds it. None: BatchNorm.
        init_cfg: initialization as in mmengine.
    """

    def __init__(
        self,
        context: dict,
        context_channels: tuple[int, int] = (256, 512),
        *,
        channels: int = 128,
        norm_cfg: dict | None = None,
        init_cfg: dict | list | None = None,
    ) -> None:
        super().__init__(init_cfg)
        conv = partial(ConvModule, norm_cfg=norm_cfg or BATCH_NORM)
        width = SPATIAL_CHANNELS
        self.context = MODELS.build(context)
        self.spatial = nn.Sequential(
            conv(3, width, 7, stride=2, padding=3),
            conv(width, width, 3, stride=2, padding=1),
            conv(width, width, 3, stride=2, padding=1),
            conv(width, channels, 1),
        )
        shallow, deep = context_channels
        self.pooled = nn.Sequential(nn.AdaptiveAvgPool2d(1), conv(deep, channels, 1))
        self.refine16 = AttentionRefinement(deep, channels, conv=conv)
        self.refine8 = AttentionRefinement(shallow, channels, conv=conv)
        self.smooth16 = conv(channels, channels, 3, padding=1)
        self.smooth8 = conv(channels, channels, 3, padding=1)
        self.fusion = FeatureFusion(2 * channels, conv=conv)

    def forward(self, inputs: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Maps of images (N, 3, H, W); see the class."""
        spatial = self.spatial(inputs)
        shallow, deep = self.context(inputs)[-2:]
        context = self.refine16(deep) + self.pooled(deep)  # of size 1 x 1: added everywhere
        x16 = self.smooth16(_at_size_of(shallow, context))
        context = self.refine8(shallow) + x16
        x8 = self.smooth8(_at_size_of(spatial, context))
        return self.fusion(torch.cat([spatial, x8], dim=1)), x8, x16


class AttentionRefinement(nn.Module):
    """A convolution whose channels are weighted by what the whole image shows.

    Args:
        in_channels: width of the input.
        channels: width of the output.
        conv: makes a convolution with normalization and ReLU.
    """

    def __init__(self, in_channels: int, channels: int, *, conv: partial) -> None:
        super().__init__()
        self.conv = conv(in_channels, channels, 3, padding=1)
        self.attention = nn.Sequential(nn.AdaptiveAvgPool2d(1), conv(channels, channels, 1))

    def forward(self, x: Tensor) -> Tensor:
        """(N, in_channels, h, w) -> (N, channels, h, w)."""
        x = self.conv(x)
        return x * self.attention(x).sigmoid()


class FeatureFusion(nn.Module):
    """A 1x1 convolution, plus itself weighted by channel.

    Args:
        channels: width of input and output.
        conv: makes a convolution with normalization and ReLU.
    """

    def __init__(self, channels: int, *, conv: partial) -> None:
        super().__init__()
        self.conv = conv(channels, channels, 1)
        self.attention = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Conv2d(channels, channels // 4, 1),
            nn.ReLU(),
            nn.Conv2d(channels // 4, channels, 1),
            nn.Sigmoid(),
        )

    def forward(self, x: Tensor) -> Tensor:
        """(N, channels, h, w) -> the same."""
        x = self.conv(x)
        return x + x * self.attention(x)


def _at_size_of(reference: Tensor, x: Tensor) -> Tensor:
    return resize_bilinear(x, reference.shape[2:], align_corners=True)
