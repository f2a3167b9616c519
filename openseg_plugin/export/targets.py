"""Writers of exported files, one per target; the ending of the file chooses."""

import contextlib
import importlib
import io
import logging
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor

from openseg_plugin.errors import ConfigError, DependencyError
from openseg_plugin.export.graph import GraphOptions, InferenceGraph, axes, example_images
from openseg_plugin.export.metadata import KEY, Metadata
from openseg_plugin.layers.exporting import exporting

OPSET = 20
PRECISIONS = {'.onnx': ('fp32', 'int8'), '.xml': ('fp32', 'fp16'), '.pt2': ('fp32',)}
_EXTRAS = {
    'onnx': 'export',
    'onnxscript': 'export',
    'onnxruntime': 'export',
    'openvino': 'openvino',
}
_LARGEST = 16384  # pixels of a side in a graph for any size
_SMALLEST = 33  # HRNet and ResNet see one pixel less than that as a map of one pixel


def require(name: str) -> ModuleType:
    """An optional package.

    Raises:
        DependencyError: it is not installed.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        extra = _EXTRAS.get(name.partition('.')[0], 'export')
        raise DependencyError(
            f'{name} is needed for this target but not installed: pip install '
            f'"openseg_plugin[{extra}]"'
        ) from error


def check_target(out: Path, precision: str, *, calibrate: Path | None) -> None:
    """Refuses what cannot be written, before anything is computed.

    Raises:
        ConfigError: an ending or precision that is not supported.
        DependencyError: a package that the target needs is not installed.
    """
    if out.suffix not in PRECISIONS:
        raise ConfigError(f'{out}: give a file ending in {", ".join(PRECISIONS)}')
    if precision not in PRECISIONS[out.suffix]:
        raise ConfigError(
            f'--precision {precision} is not supported for {out.suffix}: choose one of '
            f'{", ".join(PRECISIONS[out.suffix])}'
        )
    if precision == 'int8' and calibrate is None:
        raise ConfigError('--precision int8 needs images of the kind it will see: --calibrate DIR')
    if out.suffix == '.onnx':
        require('onnx')
        require('onnxscript')
        require('onnxruntime')
    if out.suffix == '.xml':
        require('openvino')


def record(graph: InferenceGraph, channels: int) -> torch.export.ExportedProgram:
    """The recorded graph, with named axes where sizes are free.

    Raises:
        ConfigError: the model cannot be recorded.
    """
    options = graph.options
    images = example_images(options, channels)
    dims: dict[int, Any] = {}
    if options.batch is None:
        dims[0] = torch.export.Dim('batch', min=1, max=1024)
    if options.size is None:
        for axis, name in zip(axes(options), ('height', 'width')):
            dims[axis] = torch.export.Dim(name, min=_SMALLEST, max=_LARGEST)
    if options.batch is not None:
        images = images[: options.batch].contiguous()
    try:
        with torch.no_grad(), exporting():
            return torch.export.export(
                graph, (images,), dynamic_shapes={'images': dims or None}, strict=False
            )
    except Exception as error:  # torch has no class of its own for this
        raise ConfigError(
            f'{type(graph.model).__name__} cannot be recorded for any size: '
            f'{" ".join(str(error).split())[:400]}; give --size H W and --batch 1'
        ) from error


def write(graph: InferenceGraph, out: Path, metadata: Metadata, *, opset: int = OPSET) -> None:
    """Writes ``out`` (.onnx, .xml or .pt2), with its metadata inside.

    Raises:
        ConfigError: the model cannot be recorded.
        DependencyError: a package is missing.
    """
    program = record(graph, metadata.image_channels)
    if out.suffix == '.pt2':
        torch.export.save(program, out, extra_files={KEY: metadata.as_json()})
        return
    model = _onnx_model(program, graph.options, opset=opset)
    if out.suffix == '.onnx':
        _save_onnx(model, out, metadata)
        return
    openvino = require('openvino')
    path = out.with_suffix('.tmp.onnx')
    try:
        _save_onnx(model, path, metadata)
        converted = openvino.convert_model(str(path))
    finally:
        path.unlink(missing_ok=True)
    for key, text in metadata.entries().items():
        converted.set_rt_info(text, key.split(' '))
    openvino.save_model(converted, str(out), compress_to_fp16=False)


def compress_to_fp16(out: Path) -> None:
    """Halves the weights of an OpenVINO file in place."""
    openvino = require('openvino')
    model = openvino.Core().read_model(str(out))
    small = out.with_name(f'{out.stem}.fp16.xml')
    openvino.save_model(model, str(small), compress_to_fp16=True)
    del model
    small.with_suffix('.bin').replace(out.with_suffix('.bin'))
    small.replace(out)


def quantise(out: Path, images: Sequence[np.ndarray], metadata: Metadata) -> None:
    """Makes an ONNX file 8-bit in place, with ranges that ``images`` (N, H, W, C) of them show."""
    quantization = require('onnxruntime.quantization')
    onnx = require('onnx')

    base: Any = quantization.CalibrationDataReader

    class Reader(base):
        def __init__(self) -> None:
            self.rest = iter(images)

        def get_next(self) -> dict[str, np.ndarray] | None:
            image = next(self.rest, None)
            return None if image is None else {'images': as_input(image, metadata)}

    small = out.with_name(f'{out.stem}.int8.onnx')
    quantization.quantize_static(
        str(out),
        str(small),
        Reader(),
        quant_format=quantization.QuantFormat.QDQ,
        per_channel=True,
        op_types_to_quantize=['Conv', 'MatMul'],
    )
    model = onnx.load(str(small))
    onnx.helper.set_model_props(model, metadata.entries())
    onnx.save(model, str(small))
    small.replace(out)


def as_input(image: np.ndarray, metadata: Metadata) -> np.ndarray:
    """One RGB image (H, W, C) as a batch of the kind that the file takes."""
    if metadata.channels == 'bgr' and image.shape[2] == 3:
        image = image[:, :, ::-1]
    if metadata.layout == 'uint8-nhwc':
        return np.ascontiguousarray(image[None])
    batch = np.ascontiguousarray(image.transpose(2, 0, 1)[None])
    return batch.astype(np.float32) if metadata.layout == 'float-nchw' else batch


def _onnx_model(program: Any, options: GraphOptions, *, opset: int) -> Any:
    names = options.output.split('+')
    with _quiet():
        exported = torch.onnx.export(
            program,
            dynamo=True,
            input_names=['images'],
            output_names=names,
            opset_version=opset,
            verbose=False,
        )
    assert exported is not None, 'torch returns a program with dynamo=True'
    model = exported.model_proto
    symbols = [d.dim_param for d in model.graph.input[0].type.tensor_type.shape.dim]
    wanted = {}
    for axis, name in ((0, 'batch'), *zip(axes(options), ('height', 'width'))):
        if symbols[axis]:
            wanted[symbols[axis]] = name
    graph = model.graph
    for value in (*graph.input, *graph.output, *graph.value_info):
        for dim in value.type.tensor_type.shape.dim:
            if dim.dim_param in wanted:
                dim.dim_param = wanted[dim.dim_param]
    return model


def _save_onnx(model: Any, out: Path, metadata: Metadata) -> None:
    onnx = require('onnx')
    del model.metadata_props[:]
    onnx.helper.set_model_props(model, metadata.entries())
    onnx.checker.check_model(model, full_check=False)
    onnx.save(model, str(out))


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """The exporter prints its steps and warns of packages that are not needed here."""
    logger = logging.getLogger('torch.onnx')
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        logger.setLevel(before)


def to_tensor(batch: np.ndarray) -> Tensor:
    """A batch as torch takes it."""
    return torch.from_numpy(np.ascontiguousarray(batch))


def write_runner(model: Path) -> Path:
    """Puts ``run.py``, a program that needs nothing of this package, beside ``model``; its path."""
    target = model.parent / 'run.py'
    shutil.copyfile(Path(__file__).with_name('runner.py'), target)
    return target
