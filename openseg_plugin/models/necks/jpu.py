"""Joint pyramid upsampling in the place of the last backbone map.

Legend: N batch, (h, w) size of the finest map that is used, in its own pixels.
"""

from collections.abc import Sequence

from mmengine.model import BaseModule
from torch import Tensor

from openseg_plugin.layers.joint_pyramid_upsampling import JointPyramidUpsampling
from openseg_plugin.models.heads.decode_head import BATCH_NORM
from openseg_plugin.registry import MODELS


@MODELS.register_module()
class JPU(BaseModule):
    """The backbone's maps with the last one replaced by the joint map.

    So a head reads the joint map under the index that the last map had (its width is
    ``4 * channels``), and an auxiliary head reads the map before it as without this neck.
    (mmseg's JPU drops the maps below the first one that it uses.)

    Args:
        in_channels: widths of the last maps of the backbone, finest first; all of them are joined.
        channels: width of the convolutions; see
            :class:`~openseg_plugin.layers.joint_pyramid_upsampling.JointPyramidUpsampling`.
        dilations: dilations of the branches, likewise.
        coarse_first: order of the maps: True for weights of pytorch-cv and of the paper's
            authors, False for those of mmseg.
        align_corners: convention of the resize: True and False likewise.
        norm_cfg: normalization, as mmcv builds it. None: BatchNorm.
        act_cfg: activation, as mmcv builds it. None: ReLU.
        init_cfg: initialization as in mmengine.
    """

    def __init__(
        self,
        in_channels: Sequence[int] = (512, 1024, 2048),
        channels: int = 512,
        *,
        dilations: Sequence[int] = (1, 2, 4, 8),
        coarse_first: bool = False,
        align_corners: bool = True,
        norm_cfg: dict | None = None,
        act_cfg: dict | None = None,
        init_cfg: dict | list | None = None,
    ) -> None:
        super().__init__(init_cfg)
        self.num_joined = len(in_channels)
        self.joint = JointPyramidUpsampling(
            in_channels,
            channels,
            dilations=dilations,
            coarse_first=coarse_first,
            align_corners=align_corners,
            norm_cfg=norm_cfg or BATCH_NORM,
            act_cfg=act_cfg or dict(type='ReLU'),
        )

    def forward(self, feats: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Maps of the backbone, the last one replaced by (N, 4 * channels, h, w)."""
        return (*feats[:-1], self.joint(feats[-self.num_joined :]))
