"""Writers of exported files, one per target; the ending of the file chooses."""

import contextlib
import importlib
import io
import logging
import os
import re
import shutil
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from openseg_plugin.errors import ConfigError, DependencyError
from openseg_plugin.export.graph import (
    UINT8_CLASSES,
    GraphOptions,
    InferenceGraph,
    axes,
    example_images,
)
from openseg_plugin.export.metadata import KEY, Metadata
from openseg_plugin.layers.exporting import exporting
from openseg_plugin.layers.resize import exportable_forms
from openseg_plugin.utils.files import write_text

OPSET = 20
PRECISIONS = {
    '.onnx': ('fp32', 'int8'),
    '.xml': ('fp32', 'fp16', 'bf16', 'int8'),
    '.tflite': ('fp32',),
    '.pt2': ('fp32',),
    '.engine': ('fp32', 'fp16'),  # TensorRT rounds, what it is given has 32 bits
}
_QUANTISED = ('Conv', 'MatMul')
_IN_OPENVINO = ('Convolution', 'GroupConvolution', 'MatMul')  # what is quantised there
_BEFORE_WEIGHTS = ('Convert', 'Multiply', 'Subtract', 'Reshape', 'Transpose')  # in 8 bits
_VALIDATED = 8  # images on which NNCF compares labels
_WORST = 20  # layers that are left out at first: one of so many, at least one
_EXTRAS = {
    'onnx': 'export',
    'onnxscript': 'export',
    'onnxruntime': 'export',
    'openvino': 'openvino',
    'nncf': 'openvino',
    'litert_torch': 'litert',
    'ai_edge_litert': 'litert',
}
# of Swin, of MaxViT, and of ViT behind a ResNet, here and in timm
_WINDOWED = re.compile('Window|Partition|HybridEmbed')
_IN_TFLITE = f'{KEY}.json'
_LARGEST = 16384  # pixels of a side in a graph for any size
# of a side: HRNet and ResNet see one pixel less than 33 as a map of one pixel, others of timm 63
_SMALLEST = (33, 65)


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
    if out.suffix == '.tflite':
        require('litert_torch')
        require('ai_edge_litert')


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
    raise ConfigError(
        f'{type(graph.model).__name__} cannot be recorded for any size: '
        f'{" ".join(str(fault).split())[:400]}; give --size H W and --batch 1'
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


def write(graph: InferenceGraph, out: Path, metadata: Metadata, *, opset: int = OPSET) -> Metadata:
    """Writes ``out`` (.onnx, .xml, .tflite or .pt2), with its metadata inside.

    Returns:
        the metadata with the smallest size that the file takes.

    Raises:
        ConfigError: the model cannot be recorded.
        DependencyError: a package is missing.
    """
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
        _save_onnx(model, out, metadata)
        return metadata
    path = out.with_suffix('.tmp.onnx')
    try:
        _save_onnx(model, path, metadata)
        write_openvino(path, out, metadata)
    finally:
        path.unlink(missing_ok=True)
    return metadata


def write_openvino(onnx_file: Path, out: Path, metadata: Metadata) -> None:
    """Writes ``out`` (.xml and .bin beside it) from an ONNX file."""
    openvino = require('openvino')
    converted = openvino.convert_model(str(onnx_file))
    _set_rt_info(converted, metadata)
    openvino.save_model(converted, str(out), compress_to_fp16=False)


def _write_tflite(graph: InferenceGraph, out: Path, metadata: Metadata) -> None:
    options = graph.options
    if options.size is None or options.batch is None:
        raise ConfigError(f'{out.name}: LiteRT files have one size: give --size H W and --batch N')
    images = example_images(options, metadata.image_channels)[: options.batch].contiguous()
    with torch.no_grad(), exporting(), exportable_forms(graph), _quiet():
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
        model = openvino.Core().read_model(str(out))
        _set_rt_info(model, metadata)
        renamed = out.with_name(f'{out.stem}.new.xml')
        openvino.save_model(model, str(renamed), compress_to_fp16=False)
        _replace_openvino(renamed, out)


def _set_rt_info(model: Any, metadata: Metadata) -> None:
    for key, text in metadata.entries().items():
        model.set_rt_info(text, key.split(' '))


def _replace_openvino(source: Path, out: Path) -> None:
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
    """What makes a TensorRT engine of an ONNX file, for any size from 64 to 2048 pixels."""
    command = ['trtexec', f'--onnx={onnx}', f'--saveEngine={engine}']
    if metadata.size is not None and metadata.batch is not None:
        return command
    channels = metadata.image_channels
    for option, side in (('min', 64), ('opt', 1024), ('max', 2048)):
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


def compress_to_fp16(out: Path) -> None:
    """Halves the weights of an OpenVINO file in place."""
    openvino = require('openvino')
    model = openvino.Core().read_model(str(out))
    small = out.with_name(f'{out.stem}.fp16.xml')
    openvino.save_model(model, str(small), compress_to_fp16=True)
    del model
    _replace_openvino(small, out)


def quantise(
    out: Path,
    images: Sequence[np.ndarray],
    metadata: Metadata,
    *,
    left_out: Sequence[str] = (),
    target: Path | None = None,
    most_differing: float | None = None,
) -> None:
    """Makes an ONNX or OpenVINO file 8-bit, with ranges that images (H, W, C) of them show.

    Args:
        out: the file in 32 bits.
        images: of the kind that it will see.
        metadata: of the file.
        left_out: names of layers that stay in 32 bits.
        target: None: in the place of ``out``.
        most_differing: for OpenVINO: fraction of the labels of these images that may differ; NNCF
            then leaves sensitive layers out until it holds. None: none are looked for.
    """
    target = target or out
    if out.suffix == '.xml':
        nncf, openvino = require('nncf'), require('openvino')
        inputs = [np.repeat(as_input(one, metadata), metadata.batch or 1, axis=0) for one in images]
        data = nncf.Dataset(inputs)
        few = inputs[:: -(-len(inputs) // _VALIDATED)]  # each is predicted once for every layer
        scope = nncf.IgnoredScope(names=list(left_out)) if left_out else None
        exact = openvino.Core().read_model(str(out))
        with _quiet('nncf'):
            if most_differing is None:
                model = nncf.quantize(exact, data, ignored_scope=scope)
            else:
                model = nncf.quantize_with_accuracy_control(
                    exact,
                    calibration_dataset=data,
                    validation_dataset=nncf.Dataset(list(enumerate(few)), lambda one: one[1]),
                    validation_fn=_agreement(openvino, exact, few, metadata),
                    max_drop=most_differing,
                    ignored_scope=scope,
                )
        _set_rt_info(model, metadata)
        small = out.with_name(f'{out.stem}.int8.xml')
        openvino.save_model(model, str(small), compress_to_fp16=False)
        _replace_openvino(small, target)
        return
    quantization = require('onnxruntime.quantization')
    onnx = require('onnx')
    small = out.with_name(f'{out.stem}.int8.onnx')
    with _quiet():
        quantization.quantize_static(
            str(out),
            str(small),
            _calibration(images, metadata),
            quant_format=quantization.QuantFormat.QDQ,
            per_channel=True,
            op_types_to_quantize=list(_QUANTISED),
            nodes_to_exclude=list(left_out),
        )
    model = onnx.load(str(small))
    del model.metadata_props[:]
    onnx.helper.set_model_props(model, metadata.entries())
    onnx.save(model, str(small))
    small.replace(target)


def _agreement(
    openvino: Any, exact: Any, inputs: Sequence[np.ndarray], metadata: Metadata
) -> Callable[..., tuple[float, list[float]]]:
    """What NNCF asks of a model: its share of labels that are those of ``exact``, on inputs."""

    def labels(compiled: Any, batch: np.ndarray) -> np.ndarray:
        first = np.array(compiled(batch)[compiled.outputs[0]])
        if metadata.output not in ('logits', 'probabilities'):
            return first
        middle = 0.0 if metadata.output == 'logits' else metadata.threshold or 0.5
        return first.argmax(axis=1) if first.shape[1] > 1 else first[:, 0] > middle

    settings = {'INFERENCE_PRECISION_HINT': 'f32'}
    compiled = openvino.Core().compile_model(exact.clone(), 'CPU', settings)
    expected = [labels(compiled, batch) for batch in inputs]

    def share(model: Any, items: Iterable[tuple[int, np.ndarray]]) -> tuple[float, list[float]]:
        found = [float((labels(model, batch) == expected[i]).mean()) for i, batch in items]
        return float(np.mean(found)), found

    return share


def layers_in_8_bits(out: Path) -> set[str]:
    """Names of the layers of an OpenVINO file that are quantised."""

    def is_rounded(node: Any) -> bool:
        kind = node.get_type_name()
        if kind == 'Constant':
            return node.get_element_type().get_type_name() in ('i8', 'u8')
        return kind == 'FakeQuantize' or (
            kind in _BEFORE_WEIGHTS
            and any(is_rounded(one.get_source_output().get_node()) for one in node.inputs())
        )

    return {
        node.get_friendly_name()
        for node in require('openvino').Core().read_model(str(out)).get_ops()
        if node.get_type_name() in _IN_OPENVINO
        and any(is_rounded(one.get_source_output().get_node()) for one in node.inputs())
    }


def worst_layers(
    exact: Path,
    small: Path,
    image: np.ndarray,
    metadata: Metadata,
    *,
    known: Sequence[str] = (),
) -> list[str]:
    """Layers of an 8-bit ONNX file whose inputs lose most by rounding, worst first.

    Args:
        exact: the file in 32 bits.
        small: the same in 8 bits.
        image: (H, W, C), one that the file takes.
        metadata: of the file.
        known: layers that are left out already; twice as many more are named, or one of twenty.
    """
    debug = require('onnxruntime.quantization.qdq_loss_debug')
    onnx = require('onnx')
    values, paths = [], []
    try:
        for index, path in enumerate((exact, small)):
            paths.append(path.with_name(f'{path.stem}.{index}.all.onnx'))
            debug.modify_model_output_intermediate_tensors(str(path), str(paths[-1]))
            values.append(
                debug.collect_activations(str(paths[-1]), _calibration([image], metadata))
            )
    finally:
        for path in paths:
            path.unlink(missing_ok=True)
    matched = debug.create_activation_matching(values[1], values[0])
    errors = {name: one['qdq_err'] for name, one in debug.compute_activation_error(matched).items()}
    layers = [
        (min(errors[name] for name in node.input if name in errors), node.name)
        for node in onnx.load(str(exact)).graph.node
        if node.op_type in _QUANTISED and any(name in errors for name in node.input)
    ]
    found = [name for _, name in sorted(layers) if name not in known]
    return found[: max(1, len(layers) // _WORST, 2 * len(known))]


def _calibration(images: Sequence[np.ndarray], metadata: Metadata) -> Any:
    quantization = require('onnxruntime.quantization')

    base: Any = quantization.CalibrationDataReader

    class Reader(base):
        def __init__(self) -> None:
            self.rest = iter(images)

        def get_next(self) -> dict[str, np.ndarray] | None:
            image = next(self.rest, None)
            if image is None:
                return None
            return {'images': np.repeat(as_input(image, metadata), metadata.batch or 1, axis=0)}

    return Reader()


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
def _quiet(name: str = 'torch.onnx') -> Iterator[None]:
    """Exporters print their steps and warn, as of packages that are not needed here."""
    logger = logging.getLogger(name)
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
