"""Segmentor that shows its head the labels, for heads that measure an upper bound.

Legend: N batch, (H, W) size of the network's input.
"""

from collections.abc import Sequence
from typing import Any

import torch
from mmseg.structures import SegDataSample
from torch import Tensor

from openseg_plugin.errors import ConfigError
from openseg_plugin.models.segmentors.encoder_decoder import EncoderDecoder
from openseg_plugin.registry import MODELS


@MODELS.register_module()
class OracleEncoderDecoder(EncoderDecoder):
    """:class:`EncoderDecoder` around a head with a ``GroundTruthMixin``.

    Predictions need samples with ``gt_sem_seg``, whole images and no test-time augmentation.

    Raises:
        ConfigError: the head cannot be shown labels, or ``test_cfg`` is not whole.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        if not hasattr(self.decode_head, 'shown') or self.test_cfg.get('mode') != 'whole':
            raise ConfigError(
                f'OracleEncoderDecoder got a {type(self.decode_head).__name__} and test_cfg.mode='
                f'{self.test_cfg.get("mode")!r}, but needs a head that is shown the labels, such '
                "as openseg_plugin.OracleOCRHead, and mode 'whole'."
            )

    def loss(self, inputs: Tensor, data_samples: Sequence[SegDataSample]) -> dict[str, Tensor]:
        """Losses of the heads (mmseg's contract)."""
        with self.decode_head.shown(self._labels_of(data_samples)):
            return super().loss(inputs, data_samples)

    def predict(
        self, inputs: Tensor, data_samples: Sequence[SegDataSample] | None = None
    ) -> list[SegDataSample]:
        """Label maps at the size of the original images; see :class:`EncoderDecoder`."""
        with self.decode_head.shown(self._labels_of(data_samples)):
            return super().predict(inputs, data_samples)

    def _labels_of(self, data_samples: Sequence[SegDataSample] | None) -> Tensor:
        """Labels (N, h, w) of the samples.

        Raises:
            ConfigError: a sample has none.
        """
        if not data_samples or any('gt_sem_seg' not in sample for sample in data_samples):
            raise ConfigError(
                'OracleEncoderDecoder got images without labels, but its head reads them: use a '
                'dataset with labels and openseg_plugin.LoadLabels in the pipeline.'
            )
        labels = [sample.gt_sem_seg.data.squeeze(0) for sample in data_samples]
        return torch.stack(labels).long()
