"""The tests of openseg.pytorch, whole or in crops, at one scale or several, as a model."""

from collections.abc import Sequence

from torch import Tensor, nn

from openseg_plugin.errors import ConfigError
from openseg_plugin.inference.multi_scale_flip import pad_views
from openseg_plugin.inference.one_view import OneViewModel
from openseg_plugin.inference.protocols import openseg_labels, openseg_multi_scale
from openseg_plugin.models.segmentors.encoder_decoder import geometry_of
from openseg_plugin.registry import MODELS


@MODELS.register_module()
class OpenSegMultiScale(OneViewModel):
    """``ss_test``, ``sscrop_test``, ``ms_test`` and ``mscrop_test`` to the letter.

    Unlike :class:`openseg_plugin.MultiScaleFlip` with ``merge='logits'``, the normalised and padded
    picture is scaled (aligned corners), logits are summed at its size, cut to what is not padding,
    and brought to the original size by *cubic* interpolation.

    ==============  ==========================================
    test            options
    ==============  ==========================================
    ``ss_test``     none
    ``sscrop_test`` ``crop_size``
    ``ms_test``     ``scales``, ``flip``
    ``mscrop_test`` ``scales``, ``flip``, ``crop_size``
    ==============  ==========================================

    Args:
        module: the segmentor or its config.
        scales: what the picture's sides are multiplied by.
        flip: also predict everything mirrored.
        scale_weights: weight of each scale's logits; None: 1.
        crop_size: (height, width) in pixels of crops that touch, the last ones flush with the
            border, at scales of at least 1; None: whole pictures.
        size_divisor: pad at the right and the bottom to a multiple of it; None: as the module's
            data preprocessor says.
        data_preprocessor: put into the config of ``module``.

    Raises:
        ConfigError: no scale, one that is not above 0, or another number of weights.
    """

    def __init__(
        self,
        module: dict | nn.Module,
        *,
        scales: Sequence[float] = (1.0,),
        flip: bool = False,
        scale_weights: Sequence[float] | None = None,
        crop_size: Sequence[int] | None = None,
        size_divisor: int | None = None,
        data_preprocessor: dict | None = None,
    ) -> None:
        super().__init__(module, data_preprocessor=data_preprocessor)
        if not scales or min(scales) <= 0:
            raise ConfigError(f'tta_model.scales is {list(scales)}: give numbers above 0')
        if scale_weights is not None and len(scale_weights) != len(scales):
            raise ConfigError(
                f'tta_model has {len(scales)} scales and {len(scale_weights)} scale_weights: give '
                'one weight per scale'
            )
        pad_views(self.module, size_divisor)
        self.options = {
            'scales': tuple(scales),
            'flip': flip,
            'scale_weights': scale_weights,
            'crop_size': None if crop_size is None else tuple(crop_size),
        }

    def labels(self, inputs: Tensor, metainfo: dict) -> Tensor:
        """Labels (1, H, W) int64 of one picture (1, 3, h, w).

        Raises:
            ConfigError: the model has one channel, which openseg's tests do not know.
        """
        pairs = metainfo.get('flip_pairs') or ()
        logits = openseg_multi_scale(self.module.decode, inputs, flip_pairs=pairs, **self.options)
        if logits.shape[1] == 1:
            raise ConfigError(
                'OpenSegMultiScale takes the best of several classes, and the model has one '
                'channel: use openseg_plugin.MultiScaleFlip'
            )
        geometry = geometry_of(metainfo, inputs.shape[2:])
        labels = openseg_labels(
            logits[0], border_size=geometry.picture_size, output_size=geometry.final_size
        )
        return labels[None].to(inputs.device)
