"""ResNet-vd of PaddleClas and PaddleSeg: a stem of three convolutions, shortcuts that pool first.

Paper: He et al., "Bag of Tricks for Image Classification with Convolutional Neural Networks",
arXiv 1812.01187 (ResNet-D). mmseg's ResNetV1d with names and maths unchanged; what is added is
that weights of the original projects load as they are. In the dilated stages the first block has
the same dilation as the others, unlike in openseg's ResNet.

Legend: N batch, (H, W) size of the input picture in pixels.
"""

from mmseg.models.backbones import ResNetV1d

from openseg_plugin.errors import ConfigError
from openseg_plugin.models.backbones.resnet import STAGES
from openseg_plugin.models.foreign_weights import ForeignBackboneMixin
from openseg_plugin.registry import MODELS


@MODELS.register_module()
class ResNetVd(ForeignBackboneMixin, ResNetV1d):
    """Four maps with 256, 512, 1024, 2048 channels.

    Args:
        depth: 50 or 101.
        output_stride: stride of the last map, 8, 16 or 32; below 32 the last stages are dilated.
        norm_cfg: normalisation, as mmcv builds it. None: BatchNorm.
        norm_eval: keep the running statistics of BatchNorm fixed while training.
        init_cfg: mmengine initialisation, such as ``dict(type='Pretrained', checkpoint=...)``.
            None: Kaiming.

    Raises:
        ConfigError: a depth or stride that does not exist.
    """

    def __init__(
        self,
        depth: int = 50,
        *,
        output_stride: int = 8,
        norm_cfg: dict | None = None,
        norm_eval: bool = False,
        init_cfg: dict | list | None = None,
    ) -> None:
        if depth not in (50, 101) or output_stride not in STAGES:
            raise ConfigError(
                f'ResNetVd got depth={depth} and output_stride={output_stride}, but has depth 50 '
                f'and 101 and output stride {", ".join(map(str, STAGES))}.'
            )
        strides, dilations = STAGES[output_stride]
        super().__init__(
            depth=depth,
            strides=strides,
            dilations=dilations,
            norm_cfg=norm_cfg or dict(type='BN', requires_grad=True),
            norm_eval=norm_eval,
            init_cfg=init_cfg,
        )

    def train(self, mode: bool = True) -> 'ResNetVd':
        """As in mmseg, but returns the module, so that ``net.eval()`` can be chained."""
        super().train(mode)
        return self
