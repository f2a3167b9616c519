"""What an exported file says about itself: plain JSON values under one key."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from openseg_plugin import __version__
from openseg_plugin.errors import CheckpointError
from openseg_plugin.export.graph import GraphOptions, InferenceGraph, image_channels
from openseg_plugin.layers.resize import AlignCorners
from openseg_plugin.utils.files import parse_json

KEY = 'openseg_plugin'
FORMAT = 1
_AS_DATA = ('config', 'check', 'versions')  # dicts, which stay as they are


@dataclass(frozen=True)
class Metadata:
    """Contents of the metadata of an exported file.

    Attributes:
        classes: names in label order.
        palette: (red, green, blue) of each class.
        layout: see :class:`GraphOptions`; likewise channels, output, size, batch and flip.
        scales: of :class:`GraphOptions`, or those that the network itself fuses.
        image_channels: C of the input.
        order: channel order that the network itself sees.
        mean: of each channel in that order.
        std: likewise.
        divisor: sides are padded to a multiple of it inside.
        smallest: side of an image in pixels that the file takes, where it takes any size.
        window: (rows, columns) of the windows whose mean logits count; None: whole images.
        stride: (rows, columns) from one window to the next.
        align_corners: how scores are resized, see :func:`.layers.resize.resize_bilinear`.
        precision: 'fp32', 'fp16', 'bf16' or 'int8'.
        threshold: of one-channel models; None: the class is the arg-max.
        ignore_index: label value that training left out.
        config: the flattened config, as data.
        checkpoint_sha256: of the weights file; '' for weights that came from none.
        check: result of the comparison with the model, see :mod:`openseg_plugin.export.session`.
        version: of this package.
        versions: of the packages that wrote the file, by name.
        opset: of ONNX; None: the file is for another runtime.
        format: of these metadata.
    """

    classes: tuple[str, ...]
    palette: tuple[tuple[int, int, int], ...]
    layout: str
    channels: str
    output: str
    size: tuple[int, int] | None = None
    batch: int | None = 1
    scales: tuple[float, ...] = (1.0,)
    flip: bool = False
    image_channels: int = 3
    order: str = 'rgb'
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    divisor: int = 1
    smallest: int = 1
    window: tuple[int, int] | None = None
    stride: tuple[int, int] | None = None
    align_corners: AlignCorners = False
    precision: str = 'fp32'
    threshold: float | None = None
    ignore_index: int = 255
    config: Mapping[str, Any] = field(default_factory=dict)
    checkpoint_sha256: str = ''
    check: Mapping[str, Any] = field(default_factory=dict)
    version: str = __version__
    versions: Mapping[str, str] = field(default_factory=dict)
    opset: int | None = None
    format: int = FORMAT

    def as_json(self) -> str:
        """One line of JSON."""
        return json.dumps(asdict(self), default=str)

    def entries(self) -> dict[str, str]:
        """Keys and texts for the file: ours, and those that OpenVINO's Model API reads."""
        labels = ' '.join(name.replace(' ', '_') for name in self.classes)
        return {
            KEY: self.as_json(),
            'model_info model_type': 'Segmentation',
            'model_info labels': labels,
            'model_info reverse_input_channels': str(self.channels == 'bgr'),
        }


def metadata_of(
    graph: InferenceGraph,
    *,
    classes: Sequence[str],
    palette: Sequence[Sequence[int]],
    config: Mapping[str, Any],
    checkpoint: Path | None,
    precision: str = 'fp32',
) -> Metadata:
    """Metadata of a graph before it is checked."""
    options: GraphOptions = graph.options
    made = graph.preprocessing
    test_cfg = getattr(graph.model, 'test_cfg', None) or {}
    slides = test_cfg.get('mode') == 'slide'
    stated = {one.name: getattr(options, one.name) for one in fields(options)}
    if fuses_scales(graph.model):
        stated['scales'] = tuple(sorted(float(scale) for scale in graph.model.scales))
    return Metadata(
        classes=tuple(classes),
        palette=tuple((int(r), int(g), int(b)) for r, g, b in palette),
        **stated,
        image_channels=image_channels(graph.model, made.mean),
        order=made.order,
        mean=made.mean,
        std=made.std,
        divisor=made.divisor,
        window=_pair(test_cfg['crop_size']) if slides else None,
        stride=_pair(test_cfg['stride']) if slides else None,
        align_corners=graph.model.align_corners,
        precision=precision,
        threshold=graph.threshold if graph.is_binary else None,
        ignore_index=int(getattr(graph.head, 'ignore_index', 255)),
        config=config,
        checkpoint_sha256='' if checkpoint is None else sha256(checkpoint),
    )


def fuses_scales(model: nn.Module) -> bool:
    """Whether the network fuses scales itself, in one prediction."""
    return hasattr(model, 'scales')


def _pair(values: Sequence[int]) -> tuple[int, int]:
    return int(values[0]), int(values[1])


def parse(text: str | None, *, path: Path) -> Metadata:
    """Metadata from their JSON.

    Raises:
        CheckpointError: there are none, they are not of this package or of a newer one, or lack
            something.
    """
    try:
        values = parse_json(text or '')
        if not isinstance(values, dict):
            raise ValueError('no dict')
    except ValueError as error:
        raise CheckpointError(
            f'{path} was not exported by this package: it has no metadata {KEY!r}, so its classes '
            'and preprocessing are unknown; export it with "openseg export"'
        ) from error
    written = values.get('format', FORMAT)
    if not isinstance(written, int) or written > FORMAT:
        raise CheckpointError(
            f'{path}: its metadata {KEY!r} have format {written}, this version of openseg_plugin '
            f'({__version__}) reads up to {FORMAT}: upgrade it, or export the file again'
        )
    needed = [
        one.name
        for one in fields(Metadata)
        if one.default is MISSING and one.default_factory is MISSING
    ]
    lacking = [name for name in needed if name not in values]
    if lacking:
        raise CheckpointError(
            f'{path}: its metadata {KEY!r} lack {", ".join(lacking)}: export the file again'
        )
    known = {one.name for one in fields(Metadata)}
    return Metadata(
        **{k: v if k in _AS_DATA else _as_tuple(v) for k, v in values.items() if k in known}
    )


def as_input(image: np.ndarray, metadata: Metadata) -> np.ndarray:
    """One RGB image (H, W, C) as a batch of the kind that the file takes."""
    if metadata.channels == 'bgr' and image.shape[2] == 3:
        image = image[:, :, ::-1]
    if metadata.layout == 'uint8-nhwc':
        return np.ascontiguousarray(image[None])
    batch = np.ascontiguousarray(image.transpose(2, 0, 1)[None])
    return batch.astype(np.float32) if metadata.layout == 'float-nchw' else batch


def sha256(path: Path) -> str:
    """Hexadecimal digest of a file."""
    with path.open('rb') as file:
        return (
            hashlib.file_digest(file, 'sha256').hexdigest()
            if hasattr(hashlib, 'file_digest')
            else hashlib.sha256(file.read()).hexdigest()
        )


def _as_tuple(value: Any) -> Any:
    return tuple(_as_tuple(one) for one in value) if isinstance(value, list) else value
