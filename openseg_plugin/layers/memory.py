"""Activation checkpointing that leaves running statistics alone: less memory for a second pass.

A part that is computed again in the backward pass would move the running statistics of its norms a
second time; here they stand still during that.

Layers that treat each pixel by itself, a few rows of a large map at a time.

What lies between such layers (several maps of many channels) then takes the memory of a few rows.

Memory that was freed is kept for the next map: the system hands out pages filled with zeros, which
costs more than a ReLU over them.

Legend: N batch, C and D channels, (H, W) size of the map in its own pixels.
"""

import ctypes
import functools
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm, _NormBase
from torch.utils.checkpoint import checkpoint

from openseg_plugin.layers.exporting import is_exporting

_M_MMAP_THRESHOLD, _M_TRIM_THRESHOLD = -3, -1  # malloc.h of glibc
# bytes of the largest blocks; with larger ones the peak grows by what does not fit into them, but
# every iteration of a training asks for the same
KEPT, KEPT_IN_TRAINING = 2**27, 2**28


@functools.cache
def reuse_freed_memory(largest: int = KEPT) -> bool:
    """Lets this process keep large blocks that it frees, and take them again.

    glibc gives blocks of 32 MiB and more back at once. A fresh block costs a page fault per 4 KiB:
    of stock mmseg's time for OCR on HRNet-W18 on a CPU that is a fifth. Peak memory grows by about
    a tenth. For programs, not for libraries: it concerns the whole process, and does not end.

    Args:
        largest: bytes of a block that is kept.

    Returns:
        Whether it could be done; elsewhere than with glibc nothing changes.
    """
    try:
        libc = ctypes.CDLL(None)
        libc.gnu_get_libc_version  # noqa: B018  # others have a mallopt of other meaning
        # larger blocks go back at once: glibc before 2.38 may hold five times what it reuses
        kept = libc.mallopt(_M_MMAP_THRESHOLD, largest)
        return bool(kept and libc.mallopt(_M_TRIM_THRESHOLD, -1))  # never
    except (OSError, AttributeError, TypeError):
        return False


@contextmanager
def frozen_bn_stats(module: nn.Module) -> Iterator[None]:
    """Within it the norms below ``module`` use, but do not record, the statistics of the batch."""
    norms = [m for m in module.modules() if isinstance(m, _NormBase) and m.track_running_stats]
    kept = []
    for norm in norms:
        counter = norm.num_batches_tracked
        assert counter is not None, 'a norm with statistics counts its batches'
        kept.append((norm, norm.momentum, counter, counter.clone()))
        norm.momentum = 0.0  # the old statistics count all
    try:
        yield
    finally:
        for norm, momentum, counter, before in kept:
            norm.momentum = momentum
            counter.copy_(before)


def recomputed(module: nn.Module, function: Callable[..., Any], *inputs: Any) -> Any:
    """``function(*inputs)``; what it keeps for the gradient is computed again when it is needed.

    While a graph is compiled torch itself decides what that pays for.

    Args:
        module: holds the parameters and norms that ``function`` uses.
        function: a method of it.
        inputs: tensors, or lists of tensors.
    """
    if not torch.is_grad_enabled() or torch.compiler.is_compiling():
        return function(*inputs)

    def contexts() -> tuple[AbstractContextManager, AbstractContextManager]:
        return nullcontext(), frozen_bn_stats(module)

    return checkpoint(function, *inputs, use_reentrant=False, context_fn=contexts)


# of the map that goes in, at a time: a part stays in the cache of a CPU, and keeps a GPU busy
CHUNK_BYTES = {'cpu': 2**24, 'cuda': 2**26}
_ALWAYS = (nn.ReLU, nn.LeakyReLU, nn.Identity)


def chunked(
    function: Callable[[Tensor], Tensor], maps: Tensor, layers: Iterable[nn.Module]
) -> Tensor:
    """``function(maps)``, in several parts where the map is large and nothing is learned from it.

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
    limit = CHUNK_BYTES['cpu' if maps.device.type == 'cpu' else 'cuda']
    step = max(1, limit * rows // max(1, maps.numel() * maps.element_size()))
    if step >= rows or torch.is_grad_enabled() or not all(map(is_pixelwise, layers)):
        return function(maps)
    result = None
    for start in range(0, rows, step):
        part = function(maps[:, :, start : start + step])
        if result is None:
            result = _taller(part, rows)
        result[:, :, start : start + step] = part
    assert result is not None, 'a map has a row'
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
