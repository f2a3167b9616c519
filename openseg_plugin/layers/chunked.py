"""Layers that treat each pixel by itself, a few rows of a large map at a time.

What lies between such layers (several maps of many channels) then takes the memory of a few rows.

Legend: N batch, C and D channels, (H, W) size of the map in its own pixels.
"""

from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from openseg_plugin.layers.exporting import is_exporting

CHUNK_BYTES = 2**26  # of the map that goes in, at a time: still enough pixels to keep a GPU busy
_ALWAYS = (nn.ReLU, nn.LeakyReLU, nn.Identity)


def chunked(
    function: Callable[[Tensor], Tensor], maps: Tensor, layers: Iterable[nn.Module]
) -> Tensor:
    """``function(maps)``, in several parts where the map is large and nothing is learnt from it.

    Args:
        function: (N, C, h, W) to (N, D, h, W); it treats pixels alike and by themselves if
            ``layers`` do.
        maps: (N, C, H, W).
        layers: what the function runs pixels through.

    Returns:
        (N, D, H, W) in the memory format of the function's results.
    """
    if is_exporting():
        return function(maps)
    rows = maps.shape[2]
    step = max(1, CHUNK_BYTES * rows // max(1, maps.numel() * maps.element_size()))
    if step >= rows or torch.is_grad_enabled() or not all(map(is_pixelwise, layers)):
        return function(maps)
    result = None
    for start in range(0, rows, step):
        part = function(maps[:, :, start : start + step])
        if result is None:
            result = _taller(part, rows)
        result[:, :, start : start + step] = part
    return result


def is_pixelwise(layer: nn.Module) -> bool:
    """Whether a layer, in its present mode, is known to treat pixels alike and by themselves."""
    children = list(layer.children())
    if children:
        return all(map(is_pixelwise, children))
    if isinstance(layer, nn.Conv2d):
        return (*layer.kernel_size, *layer.stride) == (1, 1, 1, 1) and layer.padding == (0, 0)
    if isinstance(layer, _BatchNorm):
        return not layer.training and layer.track_running_stats
    if isinstance(layer, nn.modules.dropout._DropoutNd):
        return not layer.training
    return isinstance(layer, _ALWAYS)


def _taller(part: Tensor, rows: int) -> Tensor:
    """Memory for a map like ``part`` (N, D, h, W) with ``rows`` rows."""
    size = (*part.shape[:2], rows, part.shape[3])
    form = torch.contiguous_format if part.is_contiguous() else torch.channels_last
    return torch.empty(size, dtype=part.dtype, device=part.device, memory_format=form)
