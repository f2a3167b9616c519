"""The ResNet of openseg.pytorch ("3x3-Res101"): three 3x3 convolutions as stem, dilated stages.

Key names are those of mmseg's ResNetV1c, and of its ResNet where the stem is a single convolution.
Deliberately different from it, as in openseg.pytorch: the
stem is 64, 64, 128 channels wide, the max pool rounds sizes up, and ``multi_grid`` multiplies the
dilation of the last stage (mmseg's replaces it).

Legend: N batch, (H, W) size of the input image in pixels.

ResNet-vd of PaddleClas and PaddleSeg: a stem of three convolutions, shortcuts that pool first.

Paper: He et al., "Bag of Tricks for Image Classification with Convolutional Neural Networks",
arXiv 1812.01187 (ResNet-D). mmseg's ResNetV1d with names and maths unchanged; what is added is
that weights of the original projects load as they are. In the dilated stages the first block has
the same dilation as the others, unlike in openseg's ResNet.

Legend: N batch, (H, W) size of the input image in pixels.
"""

from collections.abc import Sequence

from mmseg.models.backbones import ResNet as StockResNet
from mmseg.models.backbones import ResNetV1d
from torch import nn

from openseg_plugin.errors import ConfigError
from openseg_plugin.models.backbones.freezing import require_stage
from openseg_plugin.models.foreign_weights import ForeignBackboneMixin
from openseg_plugin.registry import MODELS

DEPTHS = (50, 101, 152)
# output stride -> strides and dilations of the four stages
STAGES = {
    8: ((1, 2, 1, 1), (1, 1, 2, 4)),
    16: ((1, 2, 2, 1), (1, 1, 1, 2)),
    32: ((1, 2, 2, 2), (1, 1, 1, 1)),
}


@MODELS.register_module()
class ResNet(ForeignBackboneMixin, StockResNet):
    """Four maps with 256, 512, 1024, 2048 channels.

    With ``ceil_pool`` an even side h of the stem's output becomes h / 2 + 1 in the pool, so an
    image of 512 x 1024 gives maps of 129 x 257 and, at stride 8, 65 x 129.

    Args:
        depth: 50, 101 or 152.
        output_stride: stride of the last map, 8, 16 or 32. Below 32 the last stages are dilated;
            the first block of a stage has half of its dilation.
        multi_grid: factors of the dilation of the three blocks of the last stage; (1, 2, 4) in
            openseg's configs with output stride 16.
        deep_stem: whether the stem is three 3x3 convolutions; False: one of 7x7 (openseg's networks
            without ``deepbase``, GluonCV's ``v1b``).
        stem_channels: width of the stem, half of it in its first two 3x3 convolutions. 64 for a
            single convolution and for GluonCV's ``v1c`` and ``v1d``.
        avg_down: whether shortcuts pool before they convolve (GluonCV's ``v1d`` and ``v1e``).
        ceil_pool: whether the max pool rounds sizes up, as openseg's does. False for ``v1s``
            weights (GluonCV, pytorch-cv), whose networks are the same otherwise.
        norm_cfg: normalization, as mmcv builds it. None: BatchNorm.
        frozen_stages: 0 freezes the stem, n also the first n stages, with their statistics; -1:
            nothing.
        norm_eval: keep the running statistics of BatchNorm fixed while training.
        init_cfg: mmengine initialization, such as ``dict(type='Pretrained', checkpoint=...)``.
            None: Kaiming.

    Raises:
        ConfigError: a depth or stride that does not exist, or a ``multi_grid`` that does not fit.
    """

    def __init__(
        self,
        depth: int = 101,
        *,
        output_stride: int = 8,
        multi_grid: Sequence[int] = (1, 1, 1),
        deep_stem: bool = True,
        stem_channels: int = 128,
        avg_down: bool = False,
        ceil_pool: bool = True,
        norm_cfg: dict | None = None,
        frozen_stages: int = -1,
        norm_eval: bool = False,
        init_cfg: dict | list | None = None,
    ) -> None:
        if depth not in DEPTHS or output_stride not in STAGES:
            raise ConfigError(
                f'ResNet got depth={depth} and output_stride={output_stride}, but has depth '
                f'{", ".join(map(str, DEPTHS))} and output stride {", ".join(map(str, STAGES))}.'
            )
        require_stage(frozen_stages, 4, type(self).__name__)
        strides, dilations = STAGES[output_stride]
        super().__init__(
            depth=depth,
            deep_stem=deep_stem,
            stem_channels=stem_channels,
            avg_down=avg_down,
            strides=strides,
            dilations=dilations,
            contract_dilation=True,
            multi_grid=_last_dilations(dilations[-1], tuple(multi_grid)),
            norm_cfg=norm_cfg or dict(type='BN', requires_grad=True),
            frozen_stages=frozen_stages,
            norm_eval=norm_eval,
            init_cfg=init_cfg,
        )
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1, ceil_mode=ceil_pool)

    def train(self, mode: bool = True) -> 'ResNet':
        """As in mmseg, but returns the module, so that ``net.eval()`` can be chained."""
        super().train(mode)
        return self


def _last_dilations(
    dilation: int, multi_grid: tuple[int, ...], *, name: str = 'ResNet', is_contracted: bool = True
) -> tuple[int, ...] | None:
    """Dilation of each block of the last stage, which is what mmseg calls its multi_grid.

    Args:
        dilation: of the stage.
        multi_grid: factors of it.
        name: of the network, for the message.
        is_contracted: whether the first block has half of its dilation.
    """
    if len(multi_grid) != 3 or (dilation == 1 and multi_grid != (1, 1, 1)):
        raise ConfigError(
            f'{name} got multi_grid={multi_grid}, but needs three factors, all 1 for output '
            'stride 32.'
        )
    first, *rest = (dilation * factor for factor in multi_grid)
    return None if dilation == 1 else (first // (2 if is_contracted else 1), *rest)


@MODELS.register_module()
class ResNetVd(ForeignBackboneMixin, ResNetV1d):
    """Four maps with 256, 512, 1024, 2048 channels.

    Args:
        depth: 50 or 101.
        output_stride: stride of the last map, 8, 16 or 32; below 32 the last stages are dilated.
        multi_grid: factors of the dilation of the three blocks of the last stage; (1, 2, 4) in
            PaddleSeg's DeepLabV3.
        norm_cfg: normalization, as mmcv builds it. None: BatchNorm.
        frozen_stages: 0 freezes the stem, n also the first n stages, with their statistics; -1:
            nothing.
        norm_eval: keep the running statistics of BatchNorm fixed while training.
        init_cfg: mmengine initialization, such as ``dict(type='Pretrained', checkpoint=...)``.
            None: Kaiming.

    Raises:
        ConfigError: a depth or stride that does not exist, or a ``multi_grid`` that does not fit.
    """

    def __init__(
        self,
        depth: int = 50,
        *,
        output_stride: int = 8,
        multi_grid: Sequence[int] = (1, 1, 1),
        norm_cfg: dict | None = None,
        frozen_stages: int = -1,
        norm_eval: bool = False,
        init_cfg: dict | list | None = None,
    ) -> None:
        if depth not in (50, 101) or output_stride not in STAGES:
            raise ConfigError(
                f'ResNetVd got depth={depth} and output_stride={output_stride}, but has depth 50 '
                f'and 101 and output stride {", ".join(map(str, STAGES))}.'
            )
        require_stage(frozen_stages, 4, type(self).__name__)
        strides, dilations = STAGES[output_stride]
        super().__init__(
            depth=depth,
            strides=strides,
            dilations=dilations,
            multi_grid=_last_dilations(
                dilations[-1], tuple(multi_grid), name=type(self).__name__, is_contracted=False
            ),
            norm_cfg=norm_cfg or dict(type='BN', requires_grad=True),
            frozen_stages=frozen_stages,
            norm_eval=norm_eval,
            init_cfg=init_cfg,
        )

    def train(self, mode: bool = True) -> 'ResNetVd':
        """As in mmseg, but returns the module, so that ``net.eval()`` can be chained."""
        super().train(mode)
        return self
