"""A network as a recorded graph of torch, with free axes where sizes are free."""

import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from openseg_plugin.errors import ConfigError
from openseg_plugin.export.graph import InferenceGraph, axes, example_images
from openseg_plugin.layers.exporting import exporting
from openseg_plugin.layers.resize import exportable_forms

# of Swin, of MaxViT, and of ViT behind a ResNet, here and in timm
_WINDOWED = re.compile('Window|Partition|HybridEmbed')
_LARGEST = 16384  # pixels of a side in a graph for any size
# of a side: HRNet and ResNet see one pixel less than 33 as a map of one pixel, others of timm 63
_SMALLEST = (33, 65)


def record(graph: InferenceGraph, channels: int) -> tuple[torch.export.ExportedProgram, int]:
    """The recorded graph, with named axes where sizes are free, and the smallest side it is for.

    Raises:
        ConfigError: the model cannot be recorded.
    """
    options = graph.options
    kinds = {type(module) for module in graph.model.modules()}
    windowed = sorted(
        kind.__name__
        for kind in kinds
        # ISA, which is ours, pads to whole windows and is right at any size
        if _WINDOWED.search(kind.__name__) and not kind.__module__.startswith('openseg_plugin.')
    )
    if options.size is None and windowed:  # torch would reason about its sizes for hours
        raise ConfigError(
            f'{windowed[0]} cannot be recorded for any size, because torch does not come to an end '
            'with its sizes: give --size H W'
        )
    images = example_images(options, channels)
    if options.batch is not None:
        images = images[: options.batch].contiguous()
    fault: Exception | None = None
    for smallest in _SMALLEST if options.size is None else _SMALLEST[:1]:
        dims: dict[int, Any] = {}
        if options.batch is None:
            dims[0] = torch.export.Dim('batch', min=1, max=1024)
        if options.size is None:
            for axis, name in zip(axes(options), ('height', 'width')):
                dims[axis] = torch.export.Dim(name, min=smallest, max=_LARGEST)
        try:
            program = record_network(graph, images, dims)
            return program, 1 if options.size else smallest
        except Exception as error:  # torch has no class of its own for this
            fault = error
    where, advice = 'for any size', 'give --size H W and --batch 1'
    if options.size is not None:
        where = f'at --size {options.size[0]} {options.size[1]}'
        advice = 'give a larger size' + (', or larger --scales' if options.averages else '')
    raise ConfigError(
        f'{type(graph.model).__name__} cannot be recorded {where}: '
        f'{" ".join(str(fault).split())[:400]}; {advice}'
    ) from fault


def record_network(
    network: nn.Module, images: Tensor, dims: Mapping[int, Any]
) -> torch.export.ExportedProgram:
    """``network(images)`` as a graph with free axes: those in ``dims``, to their ``Dim``.

    Where a map inside may have one pixel or one window at some of the sizes, torch refuses a graph
    that asks whether a side is 1. Then it is recorded once more without such questions; that graph
    is right at every size, too, but its own conditions refuse some (see :func:`as_module`).
    """

    def recorded() -> torch.export.ExportedProgram:
        with torch.no_grad(), exporting(), exportable_forms(network):
            return torch.export.export(
                network, (images,), dynamic_shapes=(dict(dims) or None,), strict=False
            )

    try:
        return recorded()
    except Exception:
        from torch.fx.experimental import _config as settings

        config: Any = settings  # torch gives it its methods when it is imported

        if not dims or not hasattr(config, 'backed_size_oblivious'):  # before torch 2.8
            raise
        with config.patch(backed_size_oblivious=True):
            return recorded()


def as_module(program: torch.export.ExportedProgram) -> Any:
    """What runs a recorded graph, without torch's conditions on sizes where it can be asked to."""
    try:
        return program.module(check_guards=False)
    except TypeError:  # before torch 2.9
        return program.module()
