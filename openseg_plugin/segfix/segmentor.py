"""Offsets from the outputs of a SegFix network, for whole images and sliding windows.

Order of operations of openseg.pytorch (``tester_offset.py``, commit aefc755): the boundary
probability is taken at the network's resolution and resized, not the other way round.

Legend: N batch, D direction classes, h, w size of the network's outputs, H, W of the image.

The SegFix network: an image in, for every pixel one step towards the inside of its object out.

Paper: ECCV 2020, see :mod:`openseg_plugin.segfix.head`. What is done with the
steps: :mod:`openseg_plugin.segfix`.

Legend: N batch, D direction classes, (h, w) size of the head's output, (H, W) size of the input.
"""

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample
from torch import Tensor

from openseg_plugin.errors import ConfigError
from openseg_plugin.layers.direction_field import direction_to_offset
from openseg_plugin.layers.tiled_argmax import OutputGeometry
from openseg_plugin.models.segmentors.encoder_decoder import EncoderDecoder, geometry_of
from openseg_plugin.registry import MODELS

Network = Callable[[Tensor], tuple[Tensor, Tensor]]
"""(N, 3, H, W) images -> boundary logits (N, 2, h, w) and direction logits (N, D, h, w)."""

BOUNDARY = 1
"""Channel of the boundary output that says "move"; channel 0 says "stay"."""


def network_scores(
    boundary_logits: Tensor,
    direction_logits: Tensor,
    size: Sequence[int],
    *,
    softmax: bool = True,
) -> tuple[Tensor, Tensor]:
    """Boundary score (N, H, W) and direction scores (N, D, H, W) at the size of the image.

    Args:
        boundary_logits: (N, 2, h, w).
        direction_logits: (N, D, h, w).
        size: (H, W).
        softmax: True gives the boundary's probability. False gives its raw logit, which the
            original compares with the same 0.5 where it predicts images of different sizes
            (``diverse_size``, the ADE20K settings).
    """
    if softmax:
        boundary_logits = boundary_logits.softmax(dim=1)
    boundary = boundary_logits[:, BOUNDARY : BOUNDARY + 1]
    resized = (
        F.interpolate(maps, size=tuple(size), mode='bilinear', align_corners=True)
        for maps in (boundary, direction_logits)
    )
    boundary, directions = resized
    return boundary[:, 0], directions


def offsets_from_scores(boundary: Tensor, directions: Tensor, *, threshold: float = 0.5) -> Tensor:
    """Offsets (N, H, W, 2) int8: one step in the best direction where the boundary score wins.

    Args:
        boundary: (N, H, W) of :func:`network_scores`.
        directions: (N, D, H, W) scores; D is 4, 8, 16 or 32.
        threshold: pixels with a larger boundary score move.
    """
    num_directions = directions.shape[1]
    best = directions.argmax(dim=1)
    return direction_to_offset(best, boundary > threshold, num_directions=num_directions)


def sliding_scores(
    network: Network,
    images: Tensor,
    *,
    crop_size: tuple[int, int] = (512, 512),
    softmax: bool = True,
) -> tuple[Tensor, Tensor]:
    """Boundary score (N, H, W) and direction scores (N, D, H, W), the mean over all crops.

    Crops lie a third of their side apart, the last row and column at the border of the image
    (2048 pixels and crops of 512: 0, 170 ... 1530, 1536).

    Args:
        network: see ``Network``.
        images: (N, 3, H, W) as the network wants them.
        crop_size: (height, width) in pixels; a smaller image is one smaller crop.
        softmax: see :func:`network_scores`.
    """
    size = images.shape[-2:]
    height, width = (min(crop, side) for crop, side in zip(crop_size, size))
    rows, columns = _starts(size[0], height), _starts(size[1], width)
    totals: list[Tensor] | None = None
    count = images.new_zeros(size)
    for top in rows:
        for left in columns:
            box = (..., slice(top, top + height), slice(left, left + width))
            scores = network_scores(*network(images[box]), (height, width), softmax=softmax)
            if totals is None:
                totals = [one.new_zeros((*one.shape[:-2], *size)) for one in scores]
            for total, one in zip(totals, scores):
                total[box] += one
            count[box] += 1
    assert totals is not None, 'there is a crop'
    return totals[0] / count, totals[1] / count


def _starts(side: int, crop: int) -> list[int]:
    """First rows or columns of the crops along one side, in pixels."""
    starts = list(range(0, side - crop + 1, max(crop // 3, 1)))
    if starts[-1] + crop < side:
        starts.append(side - crop)
    return starts


MODES = ('whole', 'slide')


@MODELS.register_module()
class SegFix(EncoderDecoder):
    """Backbone and ``SegFixHead``; arguments as in :class:`EncoderDecoder`, but ``test_cfg``:

    - ``mode``: 'whole', or 'slide' for crops that lie a third of their side apart;
    - ``crop_size``: (rows, columns) of these crops in pixels, default (512, 512);
    - ``softmax``: True compares the boundary's probability with the head's threshold; False its
      raw logit, as the original does for images of different sizes ("diverse_size", ADE20K).
    """

    def _init_decode_head(self, decode_head: dict) -> None:
        """As mmseg's, but there is no number of classes."""
        self.decode_head = MODELS.build(self._with_indices(decode_head, 'model.decode_head'))
        self.align_corners = self.decode_head.align_corners

    def outputs(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        """Logits at head resolution of normalized images (N, 3, H, W).

        Returns:
            Boundary (N, 2, h, w) and direction (N, D, h, w).
        """
        return self.decode_head(self.extract_feat(inputs))

    def field_scores(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
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
            return sliding_scores(self.outputs, inputs, crop_size=crop_size, softmax=softmax)
        return network_scores(*self.outputs(inputs), inputs.shape[2:], softmax=softmax)

    def fields(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        """Boundary map (0 or 1) and direction class everywhere, both (N, H, W) uint8."""
        boundary, directions = self.field_scores(inputs)
        return (
            (boundary > self.decode_head.threshold).to(torch.uint8),
            directions.argmax(dim=1).to(torch.uint8),
        )

    def decode(self, inputs: Tensor) -> Tensor:
        """Not offered, nor what stands on it: there are no classes."""
        raise NotImplementedError('SegFix predicts boundaries and directions, no classes')

    def predict(
        self, inputs: Tensor, data_samples: Sequence[SegDataSample] | None = None
    ) -> list[SegDataSample]:
        """Samples with ``pred_boundary`` and ``pred_direction``, at the size of the images.

        Padding is cut off; an image that was resized gets its maps back by nearest neighbor, as
        in the original.

        Args:
            inputs: (N, 3, H, W) normalized images.
            data_samples: their samples; None predicts at the input size.
        """
        fields = self.fields(inputs)
        size = (inputs.shape[2], inputs.shape[3])
        if data_samples is None:
            samples = [SegDataSample() for _ in range(len(inputs))]
            geometries = [OutputGeometry(size)] * len(inputs)
        else:
            samples = list(data_samples)
            geometries = [geometry_of(sample.metainfo, size) for sample in samples]
        for index, (sample, geometry) in enumerate(zip(samples, geometries)):
            for name, maps in zip(('pred_boundary', 'pred_direction'), fields):
                sample.set_data({name: PixelData(data=_placed(maps[index], geometry))})
        return samples


def _placed(field: Tensor, geometry: OutputGeometry) -> Tensor:
    """One sample's map (H, W) without its padding, (1, H', W') at the size of its image."""
    left, _, top, _ = geometry.padding
    height, width = geometry.image_size
    cut = field[None, None, top : top + height, left : left + width]
    if geometry.final_size == (height, width):
        return cut[0]
    return F.interpolate(cut, geometry.final_size, mode='nearest')[0]
