"""What every scale of a multi-scale network says about a picture, at the picture's own size."""

from collections.abc import Iterable, Sequence
from typing import Any

from mmseg.structures import SegDataSample
from torch import Tensor, nn

from openseg_plugin.layers.tiled_argmax import place
from openseg_plugin.models.segmentors.encoder_decoder import geometry_of

View = tuple[float, Tensor | None, Tensor]


def views_of_passes(
    model: nn.Module,
    passes: Iterable[Any],
    data_samples: Sequence[SegDataSample],
    input_size: Sequence[int],
) -> list[list[View]]:
    """Scale, attention (H, W) 0 to 1 or None, and labels (H, W) int64, per picture and pass.

    Args:
        model: the segmentor.
        passes: of the batch.
        data_samples: its samples.
        input_size: (H, W) of the network's input at scale 1.
    """
    found: list[list[View]] = [[] for _ in data_samples]
    for one in passes:
        for index, sample in enumerate(data_samples):
            geometry = geometry_of(sample.metainfo, tuple(input_size))
            attention = None
            if one.attention is not None:
                maps = one.attention[index : index + 1]
                attention = place(maps, geometry, align_corners=model.align_corners)[0, 0]
            labels = model.labels(one.logits[index : index + 1], geometry)[0]
            found[index].append((one.scale, attention, labels))
    return found
