"""HRNet2x: an HRNet whose finest branch has stride 2, made for boundaries.

Facts of openseg.pytorch (``hrnet2x20``, also called ``hrnext20``), whose SegFix networks use it: a
stem of one convolution, a first stage of two branches of bottlenecks, and five branches at the end.
Key names are those of the original code.
"""

from collections.abc import Sequence

from mmseg.models.backbones.resnet import BasicBlock, Bottleneck
from torch import Tensor, nn

from openseg_plugin.models.backbones.hrnet import STEM_CHANNELS, HRNet, conv_norm
from openseg_plugin.registry import MODELS

STAGE1_CHANNELS = (128, 256)


@MODELS.register_module()
class HRNet2x(HRNet):
    """Five maps at strides 2, 4, 8, 16, 32 with ``width * (1, 2, 4, 8, 16)`` channels.

    Pictures may have any size; the map of stride s has ceil(H / s) x ceil(W / s) pixels.

    Args:
        width: channels of the finest branch; 20 in openseg.
        align_corners: see :class:`HRNet`.
        num_modules: exchange modules in stage 1, 2, 3 and 4.
        num_blocks: residual blocks on each branch of each module.
        in_channels: channels of the input picture.
        norm_cfg: normalisation, as mmcv builds it. None: BatchNorm.
        norm_eval: keep the running statistics of BatchNorm fixed while training.
        init_cfg: see :class:`HRNet`.

    Raises:
        ConfigError: ``num_modules`` does not name four stages.
    """

    FIRST_STAGE = 1

    def __init__(
        self,
        width: int = 20,
        *,
        align_corners: bool = True,
        num_modules: Sequence[int] = (1, 1, 4, 3),
        num_blocks: int = 4,
        in_channels: int = 3,
        norm_cfg: dict | None = None,
        norm_eval: bool = False,
        init_cfg: dict | list | None = None,
    ) -> None:
        super().__init__(
            width,
            align_corners=align_corners,
            num_modules=num_modules,
            num_blocks=num_blocks,
            in_channels=in_channels,
            norm_cfg=norm_cfg,
            norm_eval=norm_eval,
            init_cfg=init_cfg,
        )

    @staticmethod
    def _branch_channels(width: int) -> tuple[int, ...]:
        return tuple(width * 2**i for i in range(5))

    def _stage(self, stage: int) -> tuple[tuple[int, ...], type[nn.Module]]:
        if stage == 1:
            return STAGE1_CHANNELS, Bottleneck
        return self.branch_channels[: stage + 1], BasicBlock

    def _make_stem(self, in_channels: int, num_blocks: int, down: dict) -> tuple[int, ...]:
        self.conv1, self.bn1 = conv_norm(in_channels, STEM_CHANNELS, 3, **down)
        self.relu = nn.ReLU(inplace=True)
        return (STEM_CHANNELS,)

    def _stem(self, inputs: Tensor) -> Tensor:
        return self.relu(self.bn1(self.conv1(inputs)))
