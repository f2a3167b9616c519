"""The SegFix network: a picture in, for every pixel one step towards the inside of its object out.

Paper: ECCV 2020, see :mod:`openseg_plugin.models.decode_heads.segfix_head`. What is done with the
steps: :mod:`openseg_plugin.segfix`.

Legend: N batch, D direction classes, (h, w) size of the head's output, (H, W) size of the input.
"""

import torch
import torch.nn.functional as F
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample
from torch import Tensor

from openseg_plugin.errors import ConfigError
from openseg_plugin.layers.tiled_argmax import Geometry
from openseg_plugin.models.segmentors.encoder_decoder import EncoderDecoder, geometry_of
from openseg_plugin.registry import MODELS
from openseg_plugin.segfix.prediction import network_scores, sliding_scores

MODES = ('whole', 'slide')


@MODELS.register_module()
class SegFix(EncoderDecoder):
    """Backbone and ``SegFixHead``; arguments as in :class:`EncoderDecoder`, but ``test_cfg``:

    - ``mode``: 'whole', or 'slide' for crops that lie a third of their side apart;
    - ``crop_size``: (rows, columns) of these crops in pixels, default (512, 512);
    - ``softmax``: True compares the boundary's probability with the head's threshold; False its
      raw logit, as the original does for pictures of different sizes ("diverse_size", ADE20K).
    """

    def _init_decode_head(self, decode_head: dict) -> None:
        """As mmseg's, but there is no number of classes."""
        self.decode_head = MODELS.build(decode_head)
        self.align_corners = self.decode_head.align_corners

    def decode(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        """Logits at head resolution of normalised pictures (N, 3, H, W).

        Returns:
            Boundary (N, 2, h, w) and direction (N, D, h, w).
        """
        return self.decode_head(self.extract_feat(inputs))

    def scores(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        """Boundary score (N, H, W) and direction scores (N, D, H, W), as ``test_cfg`` says.

        Raises:
            ConfigError: ``test_cfg.mode`` is neither 'whole' nor 'slide'.
        """
        mode = self.test_cfg.get('mode', 'whole')
        softmax = self.test_cfg.get('softmax', True)
        if mode not in MODES:
            raise ConfigError(f"test_cfg.mode is '{mode}': give one of {MODES}")
        if mode == 'slide':
            crop_size = tuple(self.test_cfg.get('crop_size', (512, 512)))
            return sliding_scores(self.decode, inputs, crop_size=crop_size, softmax=softmax)
        return network_scores(*self.decode(inputs), tuple(inputs.shape[2:]), softmax=softmax)

    def fields(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        """Boundary map (0 or 1) and direction class everywhere, both (N, H, W) uint8."""
        boundary, directions = self.scores(inputs)
        return (
            (boundary > self.decode_head.threshold).to(torch.uint8),
            directions.argmax(dim=1).to(torch.uint8),
        )

    def logits(self, inputs: Tensor) -> Tensor:
        """Not offered: there are no classes."""
        raise NotImplementedError('SegFix predicts boundaries and directions, no classes')

    def predict(self, inputs: Tensor, data_samples: list | None = None) -> list[SegDataSample]:
        """Samples with ``pred_boundary`` and ``pred_direction``, at the size of the pictures.

        Padding is cut off; a picture that was resized gets its maps back by nearest neighbour, as
        in the original.

        Args:
            inputs: (N, 3, H, W) normalised pictures.
            data_samples: their samples; None predicts at the input size.
        """
        fields = self.fields(inputs)
        size = tuple(inputs.shape[2:])
        if data_samples is None:
            data_samples = [SegDataSample() for _ in range(len(inputs))]
            geometries = [Geometry(size)] * len(inputs)
        else:
            geometries = [geometry_of(sample.metainfo, size) for sample in data_samples]
        for index, (sample, geometry) in enumerate(zip(data_samples, geometries)):
            for name, maps in zip(('pred_boundary', 'pred_direction'), fields):
                sample.set_data({name: PixelData(data=_placed(maps[index], geometry))})
        return data_samples


def _placed(field: Tensor, geometry: Geometry) -> Tensor:
    """One sample's map (H, W) without its padding, (1, H', W') at the size of its picture."""
    left, _, top, _ = geometry.padding
    height, width = geometry.picture_size
    cut = field[None, None, top : top + height, left : left + width]
    if geometry.final_size == (height, width):
        return cut[0]
    return F.interpolate(cut, geometry.final_size, mode='nearest')[0]
