"""Writers of exported files, one per target; the ending of the file chooses."""

import contextlib
import functools
import importlib
import importlib.metadata
import io
import logging
import operator
import os
import re
import shutil
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

from openseg_plugin.errors import ConfigError, DependencyError
from openseg_plugin.export.graph import (
    UINT8_CLASSES,
    GraphOptions,
    InferenceGraph,
    axes,
    example_images,
)
from openseg_plugin.export.metadata import KEY, Metadata
from openseg_plugin.export.recording import record
from openseg_plugin.layers.exporting import exporting
from openseg_plugin.layers.resize import exportable_forms
from openseg_plugin.utils.files import write_text

OPSET = 20
_SMALLEST_OPSET = 7  # ONNX Runtime runs no older ones
PRECISIONS = {
    '.onnx': ('fp32', 'int8'),
    '.xml': ('fp32', 'fp16', 'bf16', 'int8'),
    '.tflite': ('fp32',),
    '.pt2': ('fp32',),
    '.engine': ('fp32', 'fp16'),  # TensorRT rounds, what it is given has 32 bits
}
_BY_ONNX = ('.onnx', '.engine', '.xml')
# distributions behind a file, whose versions it states
_WRITTEN_BY = {
    '.onnx': ('torch', 'onnx', 'onnxscript'),
    '.xml': ('torch', 'onnx', 'onnxscript', 'openvino'),
    '.tflite': ('torch', 'litert-torch'),
    '.pt2': ('torch',),
}
_EXTRAS = {
    'onnx': 'export',
    'onnxscript': 'export',
    'onnxruntime': 'export',
    'openvino': 'openvino',
    'nncf': 'openvino',
    'litert_torch': 'litert',
    'ai_edge_litert': 'litert',
}
_IN_TFLITE = f'{KEY}.json'


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


@functools.cache
def openvino_core() -> Any:
    """OpenVINO's Core, the only one of this process.

    Each brings a stack of its own on which this thread handles signals. Two that do not end in the
    reverse order of their beginning leave one that is gone, and the next signal, such as Ctrl-C,
    ends the process with a segmentation fault.

    Raises:
        DependencyError: OpenVINO is not installed.
    """
    return require('openvino').Core()


def check_target(out: Path, precision: str, *, calibrate: Path | None, opset: int = OPSET) -> None:
    """Refuses what cannot be written, before anything is computed.

    Raises:
        ConfigError: an ending, precision or opset that is not supported.
        DependencyError: a package that the target needs is not installed.
    """
    if out.suffix not in PRECISIONS:
        raise ConfigError(f'{out}: give a file ending in {", ".join(PRECISIONS)}')
    if out.is_dir():
        raise ConfigError(f'{out} is a folder: give the name of a file')
    if precision not in PRECISIONS[out.suffix]:
        others = [suffix for suffix, known in PRECISIONS.items() if precision in known]
        instead = f', or for {precision} a file ending in {" or ".join(others)}' if others else ''
        raise ConfigError(
            f'--precision {precision} is not supported for {out.suffix}: choose '
            f'{" or ".join(PRECISIONS[out.suffix])}{instead}'
        )
    if precision == 'int8' and calibrate is None:
        raise ConfigError('--precision int8 needs images of the kind it will see: --calibrate DIR')
    if precision == 'int8' and out.suffix == '.xml':
        require('nncf')
    if out.suffix in ('.onnx', '.engine'):
        require('onnx')
        require('onnxscript')
        require('onnxruntime')
    if out.suffix == '.xml':
        require('openvino')
    if out.suffix in _BY_ONNX:
        newest = int(require('onnx').defs.onnx_opset_version())
        if not _SMALLEST_OPSET <= opset <= newest:
            raise ConfigError(
                f'--opset {opset}: give a number from {_SMALLEST_OPSET} to {newest}, as {OPSET}'
            )
    if out.suffix == '.tflite':
        require('litert_torch')
        require('ai_edge_litert')


def write(graph: InferenceGraph, out: Path, metadata: Metadata, *, opset: int = OPSET) -> Metadata:
    """Writes ``out`` (.onnx, .xml, .tflite or .pt2), with its metadata inside.

    Returns:
        the metadata with the smallest size that the file takes, and what wrote it.

    Raises:
        ConfigError: the model cannot be recorded, or not with this opset.
        DependencyError: a package is missing.
    """
    metadata = replace(metadata, versions=_versions(_WRITTEN_BY[out.suffix]))
    if out.suffix == '.tflite':
        _write_tflite(graph, out, metadata)
        return metadata
    program, smallest = record(graph, metadata.image_channels)
    metadata = replace(metadata, smallest=smallest)
    if out.suffix == '.pt2':
        torch.export.save(program, out, extra_files={KEY: metadata.as_json()})
        return metadata
    model = _onnx_model(program, graph.options, opset=opset)
    if out.suffix == '.onnx':
        metadata = replace(metadata, opset=opset)
        _save_onnx(model, out, metadata)
        return metadata
    path = out.with_suffix('.tmp.onnx')
    try:
        _save_onnx(model, path, metadata)
        write_openvino(path, out, metadata)
    finally:
        path.unlink(missing_ok=True)
    return metadata


def _versions(names: Sequence[str]) -> dict[str, str]:
    """Versions of the distributions that are here."""
    found = {}
    for name in names:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return found


def write_openvino(onnx_file: Path, out: Path, metadata: Metadata) -> None:
    """Writes ``out`` (.xml and .bin beside it) from an ONNX file."""
    openvino = require('openvino')
    converted = openvino.convert_model(str(onnx_file))
    set_rt_info(converted, metadata)
    openvino.save_model(converted, str(out), compress_to_fp16=False)


def _write_tflite(graph: InferenceGraph, out: Path, metadata: Metadata) -> None:
    options = graph.options
    if options.size is None or options.batch is None:
        raise ConfigError(f'{out.name}: LiteRT files have one size: give --size H W and --batch N')
    images = example_images(options, metadata.image_channels)[: options.batch].contiguous()
    with torch.no_grad(), exporting(), exportable_forms(graph), quiet_exporter():
        try:
            converted = require('litert_torch').convert(graph, (images,))
        except Exception as error:  # the converter has no class of its own
            text = ' '.join(str(error).split())[:400]
            raise ConfigError(
                f'{type(graph.model).__name__} is refused by LiteRT: {text}'
            ) from error
        converted.export(str(out))
    _append_to_tflite(out, metadata)


def _append_to_tflite(out: Path, metadata: Metadata) -> None:
    """Puts the metadata behind the model as a zip archive, where LiteRT's own tools keep files."""
    if zipfile.is_zipfile(out):
        with zipfile.ZipFile(out) as archive:
            start = min(one.header_offset for one in archive.infolist())
        os.truncate(out, start)
    with zipfile.ZipFile(out, 'a') as archive:
        archive.writestr(_IN_TFLITE, metadata.as_json())


def tflite_metadata(path: Path) -> str | None:
    """JSON of the metadata in a LiteRT file; None: it has none."""
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.read(_IN_TFLITE).decode()
    except (zipfile.BadZipFile, KeyError):
        return None


def set_metadata(out: Path, metadata: Metadata) -> None:
    """Replaces the metadata in a written file."""
    if out.suffix == '.onnx':
        onnx = require('onnx')
        model = onnx.load(str(out))
        del model.metadata_props[:]
        onnx.helper.set_model_props(model, metadata.entries())
        onnx.save(model, str(out))
    elif out.suffix == '.tflite':
        _append_to_tflite(out, metadata)
    elif out.suffix == '.pt2':
        program = torch.export.load(out)
        torch.export.save(program, out, extra_files={KEY: metadata.as_json()})
    else:
        openvino = require('openvino')
        model = openvino_core().read_model(str(out))
        set_rt_info(model, metadata)
        renamed = out.with_name(f'{out.stem}.new.xml')
        openvino.save_model(model, str(renamed), compress_to_fp16=False)
        replace_openvino(renamed, out)


def set_rt_info(model: Any, metadata: Metadata) -> None:
    """Puts the metadata into a model of OpenVINO."""
    for key, text in metadata.entries().items():
        model.set_rt_info(text, key.split(' '))


def replace_openvino(source: Path, out: Path) -> None:
    """Moves an OpenVINO file and its weights in the place of another."""
    source.with_suffix('.bin').replace(out.with_suffix('.bin'))
    source.replace(out)


def write_triton(model: Path, repository: Path, metadata: Metadata) -> Path:
    """Puts a copy of a written file into a model repository; returns the model's folder.

    Triton and OpenVINO Model Server read ``NAME/1/model.*``; ``config.pbtxt``, with sizes that the
    file takes (-1: any), is for Triton. A file that takes any batch may be batched across requests.
    """
    folder = repository / re.sub(r'[^\w.-]', '_', model.stem)
    version = folder / '1'
    version.mkdir(parents=True, exist_ok=True)
    for before in version.glob('model.*'):  # of another ending: a server would find two models
        before.unlink()
    shutil.copyfile(model, version / f'model{model.suffix}')
    if model.suffix == '.xml':
        shutil.copyfile(model.with_suffix('.bin'), version / 'model.bin')
    write_text(str(folder / 'config.pbtxt'), _triton_config(folder.name, model.suffix, metadata))
    return folder


def _triton_config(name: str, suffix: str, about: Metadata) -> str:
    height, width = about.size or (-1, -1)
    classes = 1 if about.threshold is not None else len(about.classes)
    kind = 'TYPE_UINT8' if len(about.classes) <= UINT8_CLASSES else 'TYPE_INT32'
    known = {
        'labels': (kind, (height, width)),
        'confidence': ('TYPE_FP32', (height, width)),
        'logits': ('TYPE_FP32', (classes, height, width)),
        'probabilities': ('TYPE_FP32', (classes, height, width)),
    }
    image = (height, width, about.image_channels)
    if about.layout != 'uint8-nhwc':
        image = (about.image_channels, height, width)
    is_float = about.layout.startswith('float')
    tensors: list[tuple[str, str, str, tuple[int, ...]]] = [
        ('input', 'images', 'TYPE_FP32' if is_float else 'TYPE_UINT8', image)
    ]
    tensors += [('output', one, *known[one]) for one in about.output.split('+')]
    # with a batch of its own the server adds that axis, otherwise it is one of the dims
    own = () if about.batch is None else (about.batch,)
    lines = [
        f'name: "{name}"',
        f'backend: "{"onnxruntime" if suffix == ".onnx" else "openvino"}"',
        f'default_model_filename: "model{suffix}"',
        f'max_batch_size: {0 if own else 8}',
    ]
    for place, tensor, data_type, shape in tensors:
        dims = ', '.join(map(str, (*own, *shape)))
        lines.append(f'{place} [{{ name: "{tensor}", data_type: {data_type}, dims: [{dims}] }}]')
    if not own:
        lines.append('dynamic_batching { max_queue_delay_microseconds: 2000 }')
    return '\n'.join(lines) + '\n'


def trtexec_command(onnx: Path, engine: Path, metadata: Metadata) -> list[str]:
    """What makes a TensorRT engine of an ONNX file, for any size from about 64 to 2048 pixels."""
    command = ['trtexec', f'--onnx={onnx}', f'--saveEngine={engine}']
    if metadata.size is not None and metadata.batch is not None:
        return command
    channels = metadata.image_channels
    least = max(64, metadata.smallest)
    for option, side in (('min', least), ('opt', 1024), ('max', 2048)):
        height, width = metadata.size or (side, side)
        batch = metadata.batch or (1 if option == 'min' else 4)
        shape = (batch, height, width, channels)
        if metadata.layout != 'uint8-nhwc':
            shape = (batch, channels, height, width)
        command.append(f'--{option}Shapes=images:{"x".join(map(str, shape))}')
    return command


def unknown_to_tensorrt(onnx_file: Path) -> list[str]:
    """Operators of an ONNX file that are not on TensorRT's published list."""
    onnx = require('onnx')
    lines = Path(__file__).with_name('tensorrt_operators.txt').read_text('ascii').splitlines()
    known = {name for line in lines if not line.startswith('#') for name in line.split()}
    return sorted({node.op_type for node in onnx.load(str(onnx_file)).graph.node} - known)


def _onnx_model(program: Any, options: GraphOptions, *, opset: int) -> Any:
    names = options.output.split('+')
    with quiet_exporter():
        exported = torch.onnx.export(
            program,
            dynamo=True,
            input_names=['images'],
            output_names=names,
            opset_version=opset,
            custom_translation_table=_floor_division(program),
            verbose=False,
        )
        assert exported is not None, 'torch returns a program with dynamo=True'
        model = exported.model_proto
    written = next((one.version for one in model.opset_import if not one.domain), None)
    if written != opset:  # torch keeps its own where the conversion fails
        raise ConfigError(
            f'--opset {opset}: this model cannot be written in it, but in {written}: give '
            f'--opset {written}, or leave it out'
        )
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


def _floor_division(program: Any) -> dict[Any, Any]:
    """How torch shall write ``//`` of sizes, where one that is divided or divides may be negative.

    ONNX rounds quotients of integers towards 0, and torch writes ``//`` as such a quotient: the
    padding ``-(-side // stride)`` of many backbones would be too small at odd sizes.
    """
    sides = [
        side.meta['val'] if isinstance(side, torch.fx.Node) else side
        for node in program.graph.nodes
        if node.target is operator.floordiv
        for side in node.args
    ]
    if not any(map(_may_be_negative, sides)):
        return {}
    from onnxscript import opset18

    def floor_division(one: Any, other: Any) -> Any:
        return opset18.Div(opset18.Sub(one, opset18.Mod(one, other)), other)

    return {operator.floordiv: floor_division}


def _may_be_negative(value: Any) -> bool:
    if not isinstance(value, torch.SymInt):
        return value < 0
    return bool(value.node.shape_env.bound_sympy(value.node.expr).lower < 0)


def _save_onnx(model: Any, out: Path, metadata: Metadata) -> None:
    onnx = require('onnx')
    del model.metadata_props[:]
    onnx.helper.set_model_props(model, metadata.entries())
    onnx.checker.check_model(model, full_check=False)
    onnx.save(model, str(out))


@contextlib.contextmanager
def quiet_exporter(*names: str) -> Iterator[None]:
    """Exporters print their steps and warn, as of packages that are not needed here.

    Args:
        names: of their loggers; none: those of torch's export to ONNX.
    """
    loggers = [logging.getLogger(name) for name in names or ('torch.onnx', 'onnxscript')]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        for logger, level in zip(loggers, before):
            logger.setLevel(level)


def write_runner(model: Path) -> Path:
    """Puts ``run.py``, a program that needs nothing of this package, beside ``model``; its path."""
    target = model.parent / 'run.py'
    shutil.copyfile(Path(__file__).with_name('runner.py'), target)
    return target
