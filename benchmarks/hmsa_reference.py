"""A direct re-statement of the published recursion over scales, for the comparison of its cost.

It computes the attention of every scale, projects the object context at every pixel and fuses maps
of the full size, auxiliary ones as well.

Legend: N batch, K classes, (H, W) size of the image in pixels.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from openseg_plugin.layers.object_context import gather_regions, object_attention


@torch.no_grad()
def reference(model: nn.Module, image: Tensor) -> Tensor:
    """Fused logits (N, K, H, W) of images (N, 3, H, W) by a multi-scale OCR, step by step."""
    result = None
    for scale in sorted(model.scales, reverse=True):
        size = [int(side * scale) for side in image.shape[2:]]
        passed = _pass(model, _resized(image, size))
        logits, weight = passed[:2], passed[2]
        if result is None:
            result = logits
        elif scale >= 1:
            result = [
                weight * new + (1 - weight) * _resized(old, size)
                for new, old in zip(logits, result)
            ]
        else:
            full = result[0].shape[2:]
            rest = 1 - _resized(weight, full)
            result = [_resized(weight * new, full) + rest * old for new, old in zip(logits, result)]
    return result[0]


def _pass(model: nn.Module, image: Tensor) -> list[Tensor]:
    """Logits, auxiliary logits and attention at the size of the image."""
    head, size = model.decode_head, image.shape[2:]
    maps = head._transform_inputs(model.extract_feat(image))
    regions = head.region_seg(head.region_conv(maps))
    pixels = head.bottleneck(maps)
    block = head.object_context_block
    objects = gather_regions(pixels, regions).unsqueeze(3)
    context = object_attention(
        block.query_project(pixels),
        block.key_project(objects).squeeze(3),
        block.value_project(objects).squeeze(3),
    )
    features = block.bottleneck(torch.cat([block.out_project(context), pixels], dim=1))
    found = (head.cls_seg(features), regions, model.scale_attention(features))
    return [_resized(one, size) for one in found]


def _resized(maps: Tensor, size: Sequence[int]) -> Tensor:
    return F.interpolate(maps, size=tuple(size), mode='bilinear', align_corners=False)
