"""DANet: attention between pixels and attention between channels, side by side.

Paper: Fu et al., "Dual Attention Network for Scene Segmentation", arXiv 1809.02983. Key names are
those of mmseg's DAHead. Deliberately different from it: no map of pixels times pixels is kept, and
the final logits come last.

Legend: N batch, K output channels, (h, w) size of the head's input map.
"""

from collections.abc import Iterable, Sequence
from typing import Any

from mmcv.cnn import ConvModule
from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from torch import Tensor, nn

from openseg_plugin.errors import ConfigError
from openseg_plugin.layers.conv import conv_norm_act
from openseg_plugin.layers.dual_attention import NORMALIZATIONS, ChannelAttention, PositionAttention
from openseg_plugin.models.heads.decode_head import DecodeHeadMixin, init_classifiers
from openseg_plugin.registry import MODELS

_CLASSIFIERS = ('conv_seg', 'pam_conv_seg', 'cam_conv_seg')


@MODELS.register_module()
class DAHead(DecodeHeadMixin, BaseDecodeHead):
    """Logits of the summed branches, and of each branch in training.

    Args:
        in_channels: see :class:`DecodeHeadMixin`.
        channels: width of both branches.
        key_channels: width of the position attention's query and key (mmseg: ``pam_channels``).
        normalize_over: 'keys' as in the paper and in mmseg, or 'queries' for weights of
            pytorch-cv; see :class:`~openseg_plugin.layers.dual_attention.PositionAttention`.
        with_branch_outputs: classify and train each branch too, with ``loss_decode``. False in
            pytorch-cv's later weights, which have an auxiliary head instead.
        base: further arguments of :class:`DecodeHeadMixin` and mmseg's ``BaseDecodeHead``.

    Raises:
        ConfigError: unknown ``normalize_over``.
    """

    def __init__(
        self,
        in_channels: int | Sequence[int],
        channels: int = 512,
        *,
        key_channels: int = 64,
        normalize_over: str = 'keys',
        with_branch_outputs: bool = True,
        **base: Any,
    ) -> None:
        if normalize_over not in NORMALIZATIONS:
            raise ConfigError(
                f'DAHead got normalize_over={normalize_over!r}, but knows {NORMALIZATIONS}.'
            )
        names = _CLASSIFIERS if with_branch_outputs else _CLASSIFIERS[:1]
        base.setdefault('init_cfg', init_classifiers(*names))
        super().__init__(in_channels, channels, **base)
        self.with_branch_outputs = with_branch_outputs
        self.pam_in_conv = self._conv(self.in_channels)
        self.pam = PositionAttention(channels, key_channels, normalize_over=normalize_over)
        self.pam_out_conv = self._conv(channels)
        self.cam_in_conv = self._conv(self.in_channels)
        self.cam = ChannelAttention()
        self.cam_out_conv = self._conv(channels)
        if with_branch_outputs:
            self.pam_conv_seg = nn.Conv2d(channels, self.out_channels, 1)
            self.cam_conv_seg = nn.Conv2d(channels, self.out_channels, 1)

    def _conv(self, in_channels: int) -> ConvModule:
        return conv_norm_act(in_channels, self.channels, 3, **self.norm_act)

    def _branches(self, inputs: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        x = self._transform_inputs(inputs)
        position = self.pam_out_conv(self.pam(self.pam_in_conv(x)))
        channel = self.cam_out_conv(self.cam(self.cam_in_conv(x)))
        return position, channel

    def forward(self, inputs: Sequence[Tensor]) -> Tensor | tuple[Tensor, Tensor, Tensor]:
        """Logits (N, K, h, w) of the position branch, the channel branch and their sum.

        Without ``with_branch_outputs`` the last one alone.
        """
        position, channel = self._branches(inputs)
        logits = self.cls_seg(position + channel)
        if not self.with_branch_outputs:
            return logits
        return (
            self.pam_conv_seg(self._dropped(position)),
            self.cam_conv_seg(self._dropped(channel)),
            logits,
        )

    def final_logits(self, feats: Sequence[Tensor]) -> Tensor:
        """Logits (N, K, h, w) of the sum; the branches are not classified."""
        position, channel = self._branches(feats)
        return self.cls_seg(position + channel)

    def _dropped(self, x: Tensor) -> Tensor:
        return x if self.dropout is None else self.dropout(x)

    def loss_terms(self, outputs: Any) -> Iterable[tuple[str, Tensor, nn.Module]]:
        """The branches count under ``position.<loss_name>`` and ``channel.<loss_name>``."""
        if not self.with_branch_outputs:
            return super().loss_terms(outputs)
        return list(zip(('position.', 'channel.', ''), outputs, [self.loss_decode] * 3))
