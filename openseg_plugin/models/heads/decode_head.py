"""What our heads add to mmseg's: several outputs, binary models, cheaper losses, no warnings.

Legend: N batch, K output channels, (H, W) size of the network input in pixels, (h, w) size of the
head's output.

Heads that are shown the labels: for analysis, never for use.

Legend: N batch, (h, w) size of the labels, (H, W) size of a feature map.
"""

import inspect
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from mmcv.cnn import ConvModule
from mmseg.structures import SegDataSample
from torch import Tensor, nn

from openseg_plugin.errors import ConfigError
from openseg_plugin.layers.exporting import is_exporting
from openseg_plugin.layers.oracle_context import gt_regions
from openseg_plugin.layers.resize import (
    concat_at_first,
    conv_of_resized,
    is_plain_conv,
    is_resized_conv,
    recorded_conv_of_resized,
    resize_bilinear,
    stays_small,
)
from openseg_plugin.models.losses.base import pixel_accuracy
from openseg_plugin.registry import MODELS

if TYPE_CHECKING:  # the mixins are put before a head of mmseg
    from mmseg.models.decode_heads.decode_head import BaseDecodeHead as _Head
else:
    _Head = object


class GroundTruthMixin(_Head):
    """Put before a head; its ``forward`` reads the labels by :meth:`gt`."""

    _labels: Tensor | None = None

    @contextmanager
    def shown(self, labels: Tensor) -> Iterator[None]:
        """Inside, ``forward`` sees ``labels`` (N, h, w): class ids or ``ignore_index``."""
        self._labels = labels
        try:
            yield
        finally:
            self._labels = None

    def gt(self, size: Sequence[int], *, num_regions: int) -> Tensor:
        """The true regions (N, num_regions, H, W) at ``size`` (H, W).

        Raises:
            ConfigError: no labels are shown.
        """
        if self._labels is None:
            raise ConfigError(
                f'{type(self).__name__} was not shown any labels, but its context comes from them: '
                "use model.type='openseg_plugin.OracleEncoderDecoder' and a dataset with labels."
            )
        return gt_regions(self._labels, num_regions, size=size, ignore_index=self.ignore_index)


# options of mmseg's heads, and what is called so here
_OF_MMSEG = {
    'c1_channels': 'here skip_channels',
    'c1_in_channels': 'here skip_in_channels',
    'down_factor': 'here windows=(down_factor,)',
    'isa_channels': 'here key_channels',
    'ocr_channels': 'here key_channels',
    'pam_channels': 'here key_channels',
}
CROSS_ENTROPY = dict(type='openseg_plugin.CrossEntropyLoss')
BATCH_NORM = dict(type='BN', requires_grad=True)


class DecodeHeadMixin(_Head):
    """Put before mmseg's ``BaseDecodeHead`` or a head of mmseg in the list of bases.

    ``forward(feats)`` gives the final logits, or a tuple that ends with them, at head resolution.

    Args:
        in_channels: channels of the input map. A sequence: the maps are resized to the first one's
            size and concatenated.
        channels: width of the features that the last 1x1 convolution classifies.
        num_classes: number of classes, background included.
        out_channels: None: one per class. 1: tell class 1 from class 0 by the sign of one score
            (binary cross entropy).
        threshold: probability above which one output channel means class 1. (mmseg: 0.3.)
        in_index: which of the backbone's maps to use. None: the last one, or all of them if
            ``in_channels`` is a sequence.
        align_corners: convention of every bilinear resize: True in openseg, HRNet-OCR and
            pytorch-cv, False in mmseg; see :func:`~openseg_plugin.layers.resize.resize_bilinear`.
        norm_cfg: normalization, as mmcv builds it. None: BatchNorm.
        loss_decode: loss on the final logits, or a list of losses. None: cross entropy.
        sampler: mmseg's way to train on hard pixels; refused in favor of a loss.
        input_transform: 'resize_concat' where ``in_channels`` is a sequence, as in mmseg's configs;
            it need not be given.
        base: further arguments of the head that follows in the list of bases, such as mmseg's
            ``dropout_ratio``, ``act_cfg``, ``ignore_index`` and ``init_cfg``; unknown ones
            are refused.

    Raises:
        ConfigError: ``out_channels`` does not suit ``num_classes``, a pixel sampler is given, or an
            option that only another head has; names ours for those of mmseg's heads.
    """

    def __init__(
        self,
        in_channels: int | Sequence[int],
        channels: int,
        *,
        num_classes: int,
        out_channels: int | None = None,
        threshold: float = 0.5,
        in_index: int | Sequence[int] | None = None,
        align_corners: bool | str = True,
        norm_cfg: dict | None = None,
        loss_decode: dict | Sequence[dict] | None = None,
        sampler: dict | None = None,
        input_transform: str | None = None,
        **base: Any,
    ) -> None:
        _refuse_options_of_others(type(self), base)
        out_channels = out_channels or num_classes
        if out_channels != num_classes and (out_channels, num_classes) != (1, 2):
            raise ConfigError(
                f'out_channels={out_channels} does not suit num_classes={num_classes}: leave it '
                'out, or use out_channels=1 with num_classes=2.'
            )
        if sampler is not None:
            raise ConfigError(
                'a pixel sampler is not supported: use openseg_plugin.OHEMCrossEntropyLoss as '
                'loss_decode to train on hard pixels.'
            )
        several = not isinstance(in_channels, int)
        if input_transform not in (None, 'resize_concat') or (input_transform and not several):
            raise ConfigError(
                f'{type(self).__name__} got input_transform={input_transform!r} with in_channels='
                f'{in_channels}: it resizes and joins several maps and takes one as it is; leave '
                'input_transform out'
            )
        if in_index is None:
            in_index = -1 if isinstance(in_channels, int) else tuple(range(len(in_channels)))
        if isinstance(in_index, int) == several:
            raise ConfigError(
                f'{type(self).__name__} got in_index={in_index} with in_channels={in_channels}: '
                'give one number in both, or a list of as many in both'
            )
        super().__init__(
            in_channels=in_channels,
            channels=channels,
            num_classes=num_classes,
            out_channels=out_channels,
            threshold=threshold,
            in_index=in_index,
            input_transform='resize_concat' if several else None,
            align_corners=align_corners,
            norm_cfg=norm_cfg or BATCH_NORM,
            loss_decode=[],  # mmseg builds losses through a function that warns
            **base,
        )
        self.loss_decode = build_losses(loss_decode or CROSS_ENTROPY)

    @property
    def norm_act(self) -> dict[str, Any]:
        """``norm_cfg`` and ``act_cfg`` for the convolutions and layers of the head."""
        return dict(norm_cfg=self.norm_cfg, act_cfg=self.act_cfg)

    # whether a prediction may join the maps after the convolution that reads them: the same
    # function, with other roundings; see openseg_plugin.models.prepared
    joins_late = False

    # likewise in an exported graph, which cannot ask for sizes: the strides of what the head reads
    recorded_strides: Sequence[int] | None = None

    def joins_after(self, module: ConvModule, feats: Sequence[Tensor]) -> bool:
        """Whether :meth:`convolved` needs no joined map for ``module``."""
        if self.input_transform != 'resize_concat':
            return False
        if module.order[0] != 'conv' or module.with_explicit_padding:
            return False
        maps = [feats[i] for i in self.in_index]
        if is_exporting():
            return any(self._small_in_graph(module.conv, maps))
        return self.joins_late and is_resized_conv(module.conv, maps)

    def _small_in_graph(self, conv: nn.Module, maps: Sequence[Tensor]) -> list[bool]:
        if self.recorded_strides is None or not is_plain_conv(conv):
            return [False] * len(maps)
        first, taps = self.recorded_strides[0], conv.kernel_size[0]
        return [
            stays_small(one.shape[1], stride / first, taps)
            for one, stride in zip(maps, self.recorded_strides)
        ]

    def convolved(
        self, module: ConvModule, feats: Sequence[Tensor], joined: Tensor | None
    ) -> Tensor:
        """``module`` on what the head reads.

        Args:
            module: reads the joined map.
            feats: the backbone's maps.
            joined: what the head reads of them; None where :meth:`joins_after` says so.
        """
        if not self.joins_after(module, feats):
            return module(joined)
        maps, corners = [feats[i] for i in self.in_index], self.align_corners
        if is_exporting():
            small = self._small_in_graph(module.conv, maps)
            out = recorded_conv_of_resized(module.conv, maps, small, align_corners=corners)
        else:
            out = conv_of_resized(module.conv, maps, align_corners=corners)
        for step in module.order[1:]:
            if step == 'norm' and module.with_norm:
                out = module.norm(out)
            elif step == 'act' and module.with_activation:
                out = module.activate(out)
        return out

    _fits_backbone = False  # whether maps with the right channels were seen

    def _refuse_other_maps(self, inputs: Sequence[Tensor]) -> None:
        several = isinstance(self.in_index, (list, tuple))
        wanted = self.in_index if several else [self.in_index]
        found = [one.shape[1] for one in inputs]
        told = f'{type(self).__name__} reads in_index={self.in_index}, but the backbone gives '
        told += f'{len(found)} maps of {", ".join(map(str, found))} channels'
        if any(not -len(found) <= index < len(found) for index in wanted):
            raise ConfigError(f'{told}: give decode_head.in_index one of these, counted from 0')
        channels = [found[index] for index in wanted]
        if sum(channels) != self.in_channels:
            fitting = channels if several else channels[0]
            raise ConfigError(
                f'{told}, and in_channels {self.in_channels} does not fit: give '
                f'decode_head.in_channels={fitting}'
            )
        self._fits_backbone = True

    def _transform_inputs(self, inputs: Sequence[Tensor]) -> Tensor:
        if not self._fits_backbone and not is_exporting():
            self._refuse_other_maps(inputs)
        if self.input_transform == 'resize_concat':
            maps = [inputs[i] for i in self.in_index]
            return concat_at_first(maps, align_corners=self.align_corners)
        return inputs[self.in_index]

    def final_logits(self, feats: Sequence[Tensor]) -> Tensor:
        """Scores (N, K, h, w) of the backbone's maps ``feats``, at head resolution."""
        outputs = self(feats)
        return outputs if isinstance(outputs, Tensor) else outputs[-1]

    def loss(
        self,
        inputs: Sequence[Tensor],
        batch_data_samples: Sequence[SegDataSample],
        train_cfg: Any = None,
    ) -> dict[str, Tensor]:
        """Losses of the backbone's maps; mmseg's contract.

        Calls the head as a module, so that its hooks and its compiled form count, too.
        """
        return self.loss_by_feat(self(inputs), batch_data_samples)

    def predict(
        self, inputs: Sequence[Tensor], batch_img_metas: Sequence[dict], test_cfg: Any = None
    ) -> Tensor:
        """Scores (N, K, H, W) at the size of the padded input; mmseg's contract."""
        return self.predict_by_feat(self.final_logits(inputs), batch_img_metas)

    def predict_by_feat(self, seg_logits: Tensor, batch_img_metas: Sequence[dict]) -> Tensor:
        """Resize ``seg_logits`` (N, K, h, w) to the size of the padded input or of the window."""
        meta = batch_img_metas[0]
        size = meta['img_shape']
        # mmseg's sliding window writes a torch.Size here; otherwise the padded size counts
        if not isinstance(size, torch.Size):
            size = meta.get('pad_shape', size)
        return resize_bilinear(seg_logits, tuple(size[:2]), align_corners=self.align_corners)

    def loss_terms(self, outputs: Any) -> Iterable[tuple[str, Tensor, nn.Module]]:
        """What to minimize: (prefix of the log key, logits (N, K, h, w), loss or ModuleList).

        The last term must be that of the final logits.
        """
        return [('', outputs, self.loss_decode)]

    def loss_by_feat(
        self, seg_logits: Any, batch_data_samples: Sequence[SegDataSample]
    ) -> dict[str, Tensor]:
        """Losses of the output of ``forward`` against the labels, and the pixel accuracy.

        Logits are resized to the labels' size first.

        Returns:
            One entry per loss (losses of equal name are added), and ``acc_seg`` in percent.
        """
        labels = self._stack_batch_gt(batch_data_samples).squeeze(1)
        losses: dict[str, Tensor] = {}
        for prefix, logits, functions in self.loss_terms(seg_logits):
            logits = resize_bilinear(logits, labels.shape[1:], align_corners=self.align_corners)
            for function in functions if isinstance(functions, nn.ModuleList) else [functions]:
                name = f'{prefix}{function.loss_name}'
                value = function(logits, labels, ignore_index=self.ignore_index)
                losses[name] = losses[name] + value if name in losses else value
        losses['acc_seg'] = pixel_accuracy(
            logits, labels, ignore_index=self.ignore_index, threshold=self.threshold
        )
        return losses


def _refuse_options_of_others(head: type, options: Iterable[str]) -> None:
    """Makes sure that some class of ``head``'s takes each of these options."""
    known: set[str] = set()
    for one in head.__mro__:
        if '__init__' in vars(one) and one is not nn.Module and one is not object:
            known |= set(inspect.signature(vars(one)['__init__']).parameters)
    unknown = [name for name in options if name not in known]
    if not unknown:
        return
    said = [f'{name} ({_OF_MMSEG.get(name, "leave it out")})' for name in unknown]
    raise ConfigError(
        f'{head.__name__} has no option {", ".join(said)}: it has '
        f'{", ".join(inspect.signature(head).parameters)}'
    )


def build_losses(losses: dict | Sequence[dict]) -> nn.Module:
    """One loss, or a ModuleList of losses, from its config."""
    if isinstance(losses, dict):
        return MODELS.build(losses)
    return nn.ModuleList(MODELS.build(loss) for loss in losses)


def init_classifiers(*names: str) -> dict:
    """Initialization that draws the weights of these layers small, as mmseg does conv_seg's."""
    return dict(type='Normal', std=0.01, override=[dict(name=name) for name in names])
