"""WideResNet-38: few, wide residual blocks with the normalization before the convolutions.

Paper: Wu, Shen, van den Hengel, "Wider or Deeper", arXiv 1611.10080, network A2, as
NVIDIA/semantic-segmentation (commit 7726b14) builds it for DeepLabV3+: output stride 8, no
convolution bias, no normalization after the last block. Names here are our own; its files are
translated on loading.

Legend: N batch, C channels, (H, W) size of the input image in pixels.
"""

from collections.abc import Sequence

from mmcv.cnn import build_norm_layer
from mmengine.model import BaseModule
from torch import Tensor, nn

from openseg_plugin.errors import ConfigError
from openseg_plugin.models.backbones.freezing import FreezingMixin, require_stage
from openseg_plugin.models.foreign_weights import ForeignBackboneMixin
from openseg_plugin.registry import MODELS

NUM_BLOCKS = (3, 3, 6, 3, 1, 1)
# widths of the convolutions of a block, in units of ``width``, for each of the six groups
WIDTHS = ((2, 2), (4, 4), (8, 8), (8, 16), (8, 16, 32), (16, 32, 64))
DILATIONS = (1, 1, 1, 2, 4, 4)
DROPOUT = (0.0, 0.0, 0.0, 0.0, 0.3, 0.5)  # fraction of channels dropped before the last convolution


class PreActivationBlock(nn.Module):
    """norm + ReLU before each convolution; the shortcut projects what the first of them gives.

    Args:
        in_channels: channels in.
        widths: of two 3x3 convolutions, or of a 1x1, a 3x3 and a 1x1 convolution.
        stride: of the first convolution and of the shortcut.
        dilation: of the 3x3 convolutions.
        dropout_ratio: fraction of channels dropped before the last convolution.
        norm_cfg: normalization, as mmcv builds it.
    """

    def __init__(
        self,
        in_channels: int,
        widths: Sequence[int],
        *,
        stride: int,
        dilation: int,
        dropout_ratio: float,
        norm_cfg: dict,
    ) -> None:
        super().__init__()
        kernels = (3, 3) if len(widths) == 2 else (1, 3, 1)
        inputs = (in_channels, *widths[:-1])
        self.norms = nn.ModuleList(build_norm_layer(norm_cfg, width)[1] for width in inputs)
        self.convs = nn.ModuleList(
            nn.Conv2d(
                before,
                after,
                kernel,
                stride if index == 0 else 1,
                padding=dilation * (kernel // 2),
                dilation=dilation if kernel > 1 else 1,
                bias=False,
            )
            for index, (before, after, kernel) in enumerate(zip(inputs, widths, kernels))
        )
        self.shortcut = None
        if stride > 1 or in_channels != widths[-1]:
            self.shortcut = nn.Conv2d(in_channels, widths[-1], 1, stride, bias=False)
        self.dropout = nn.Dropout2d(dropout_ratio)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        """(N, in_channels, h, w) -> (N, widths[-1], h / stride, w / stride)."""
        out = self.relu(self.norms[0](x))
        shortcut = x if self.shortcut is None else self.shortcut(out)
        for index, conv in enumerate(self.convs):
            if index > 0:
                out = self.relu(self.norms[index](out))
            if index == len(self.convs) - 1:
                out = self.dropout(out)
            out = conv(out)
        return out + shortcut


@MODELS.register_module()
class WideResNet38(FreezingMixin, ForeignBackboneMixin, BaseModule):
    """Maps at stride 2, 4 and 8 with ``width * (2, 4, 64)`` channels.

    Args:
        width: channels of the first convolution.
        num_blocks: blocks in each of the six groups.
        in_channels: channels of the input image.
        norm_cfg: normalization, as mmcv builds it. None: BatchNorm.
        frozen_stages: 0 freezes the stem, n also the first n groups, with their statistics; -1:
            nothing.
        norm_eval: keep the running statistics of BatchNorm fixed while training.
        init_cfg: mmengine initialization, such as ``dict(type='Pretrained', checkpoint=...)``.
            None: Kaiming.

    Raises:
        ConfigError: ``num_blocks`` does not name six groups, or there are not so many to freeze.
    """

    def __init__(
        self,
        width: int = 64,
        *,
        num_blocks: Sequence[int] = NUM_BLOCKS,
        in_channels: int = 3,
        norm_cfg: dict | None = None,
        frozen_stages: int = -1,
        norm_eval: bool = False,
        init_cfg: dict | list | None = None,
    ) -> None:
        super().__init__(init_cfg or dict(type='Kaiming', layer='Conv2d'))
        if len(num_blocks) != len(WIDTHS):
            raise ConfigError(
                f'WideResNet38 got num_blocks={tuple(num_blocks)}, but needs one number for each '
                f'of its six groups, such as {NUM_BLOCKS}.'
            )
        self.stem = nn.Conv2d(in_channels, width, 3, padding=1, bias=False)
        self.pool = nn.MaxPool2d(3, stride=2, padding=1)
        self.groups = nn.ModuleList()
        channels = width
        for group, (count, factors) in enumerate(zip(num_blocks, WIDTHS)):
            blocks = []
            for index in range(count):
                blocks.append(
                    PreActivationBlock(
                        channels,
                        [width * factor for factor in factors],
                        stride=2 if group == 2 and index == 0 else 1,
                        dilation=DILATIONS[group],
                        dropout_ratio=DROPOUT[group],
                        norm_cfg=norm_cfg or dict(type='BN'),
                    )
                )
                channels = width * factors[-1]
            self.groups.append(nn.Sequential(*blocks))
        self.norm_eval = norm_eval
        require_stage(frozen_stages, len(WIDTHS), type(self).__name__)
        if frozen_stages >= 0:
            self.freeze([self.stem, *self.groups[:frozen_stages]])

    def forward(self, inputs: Tensor) -> list[Tensor]:
        """Feature maps of a batch of images.

        Args:
            inputs: (N, in_channels, H, W) normalized images, any size.

        Returns:
            Three maps (N, C, ceil(H / s), ceil(W / s)) with s = 2, 4, 8.
        """
        fine = self.groups[0](self.pool(self.stem(inputs)))
        middle = self.groups[1](self.pool(fine))
        coarse = middle
        for group in self.groups[2:]:
            coarse = group(coarse)
        return [fine, middle, coarse]
