"""How much each pixel of one scale counts against the coarser or finer result beside it.

Paper: Tao, Sapra, Catanzaro, "Hierarchical Multi-Scale Attention for Semantic Segmentation",
arXiv 2005.10821, Sec. 3.1. Used by :class:`HierarchicalMultiScaleSegmentor`.

Legend: N batch, C channels, (h, w) size of the features.
"""

from mmengine.model import BaseModule
from torch import Tensor, nn

from openseg_plugin.layers.conv import conv_norm_act
from openseg_plugin.models.heads.decode_head import BATCH_NORM
from openseg_plugin.registry import MODELS


@MODELS.register_module()
class ScaleAttentionHead(BaseModule):
    """One map of weights between 0 and 1 for all classes: 3x3, 3x3 and 1x1 convolutions, sigmoid.

    Args:
        in_channels: channels of the pixel features (512 for OCR).
        channels: width of the 3x3 convolutions.
        num_convs: how many of these; 1 is NVIDIA's ``--mscale_no3x3``.
        dropout_ratio: fraction of values dropped before the 1x1 convolution (NVIDIA's
            ``--mscale_dropout``: 0.5; published: 0).
        norm_cfg: normalization, as mmcv builds it. None: BatchNorm.
        act_cfg: activation, as mmcv builds it. None: ReLU.
        init_cfg: initialization as in mmengine. None: Kaiming.
    """

    def __init__(
        self,
        in_channels: int,
        channels: int = 256,
        *,
        num_convs: int = 2,
        dropout_ratio: float = 0.0,
        norm_cfg: dict | None = None,
        act_cfg: dict | None = None,
        init_cfg: dict | list | None = None,
    ) -> None:
        super().__init__(init_cfg or dict(type='Kaiming', layer='Conv2d'))
        self.convs = nn.Sequential(
            *(
                conv_norm_act(
                    channels if index else in_channels,
                    channels,
                    3,
                    norm_cfg=norm_cfg or BATCH_NORM,
                    act_cfg=act_cfg or dict(type='ReLU'),
                )
                for index in range(num_convs)
            )
        )
        self.dropout = nn.Dropout(dropout_ratio)
        self.conv_attention = nn.Conv2d(channels, 1, 1, bias=False)

    def forward(self, feats: Tensor) -> Tensor:
        """(N, in_channels, h, w) -> (N, 1, h, w), 0 to 1."""
        return self.conv_attention(self.dropout(self.convs(feats))).sigmoid()
