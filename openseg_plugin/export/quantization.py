"""Smaller numbers in a written file: weights in 16 bits, or layers in 8 bits.

In 8 bits the ranges of the values are those that images show. ONNX Runtime makes ONNX files
smaller, NNCF those of OpenVINO.
"""

import difflib
import inspect
import tempfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from openseg_plugin.errors import ConfigError
from openseg_plugin.export.metadata import Metadata, as_input
from openseg_plugin.export.targets import (
    openvino_core,
    quiet_exporter,
    replace_openvino,
    require,
    set_rt_info,
)
from openseg_plugin.utils.files import atomic_write

_QUANTIZED = ('Conv', 'MatMul')
_BETWEEN = ('Add', 'Relu', 'Concat', 'Resize', 'MaxPool')  # else each is reached in 32 bits
_ROUNDED = [*_QUANTIZED, *_BETWEEN]
_IN_OPENVINO = ('Convolution', 'GroupConvolution', 'MatMul')  # what is quantized there
_BEFORE_WEIGHTS = ('Convert', 'Multiply', 'Subtract', 'Reshape', 'Transpose')  # in 8 bits
_VALIDATED = 8  # images on which NNCF compares labels
_RANKED = 2  # images on which layers are ranked, each predicted once for every layer
_RANKED_SIDE = 640  # pixels of a side of them, where the file takes any size


def compress_to_fp16(out: Path) -> None:
    """Halves the weights of an OpenVINO file in place."""
    openvino = require('openvino')
    model = openvino_core().read_model(str(out))
    small = out.with_name(f'{out.stem}.fp16.xml')
    openvino.save_model(model, str(small), compress_to_fp16=True)
    del model
    replace_openvino(small, out)


def quantize(
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

    Raises:
        ConfigError: there is no layer of a name in ``left_out``.
    """
    target = target or out
    if out.suffix == '.xml':
        nncf, openvino = require('nncf'), require('openvino')
        inputs = [np.repeat(as_input(one, metadata), metadata.batch or 1, axis=0) for one in images]
        data = nncf.Dataset(inputs)
        few = inputs[:: -(-len(inputs) // _VALIDATED)]  # each is predicted once for every layer
        scope = nncf.IgnoredScope(names=list(left_out)) if left_out else None
        exact = openvino_core().read_model(str(out))
        layers = [n for n in exact.get_ops() if n.get_type_name() in _IN_OPENVINO]
        _require_layers(left_out, [node.get_friendly_name() for node in layers])
        with quiet_exporter('nncf'):
            if most_differing is None:
                model = nncf.quantize(exact, data, ignored_scope=scope)
            else:
                model = nncf.quantize_with_accuracy_control(
                    exact,
                    calibration_dataset=data,
                    validation_dataset=nncf.Dataset(list(enumerate(few)), lambda one: one[1]),
                    validation_fn=_agreement(exact, few, metadata),
                    max_drop=most_differing,
                    ignored_scope=scope,
                )
        set_rt_info(model, metadata)
        small = out.with_name(f'{out.stem}.int8.xml')
        openvino.save_model(model, str(small), compress_to_fp16=False)
        replace_openvino(small, target)
        return
    quantization = require('onnxruntime.quantization')
    onnx = require('onnx')
    small = out.with_name(f'{out.stem}.int8.onnx')
    exact = onnx.load(str(out), load_external_data=False)
    _require_layers(left_out, [n.name for n in exact.graph.node if n.op_type in _QUANTIZED])
    behind = _behind_the_last_layer(exact)
    with quiet_exporter(), tempfile.TemporaryDirectory() as folder:
        quantization.quantize_static(
            str(out),
            str(small),
            _calibration(images, metadata),
            **_measured_ranges(out, _calibration(images, metadata), Path(folder)),
            quant_format=quantization.QuantFormat.QDQ,
            per_channel=True,
            # x86 multiplies unsigned with signed numbers; weights of 7 bits cannot overflow the
            # sums of processors without VNNI
            activation_type=quantization.QuantType.QUInt8,
            reduce_range=True,
            op_types_to_quantize=_ROUNDED,
            nodes_to_exclude=[*left_out, *behind],
        )
    model = onnx.load(str(small))
    small.unlink()
    del model.metadata_props[:]
    onnx.helper.set_model_props(model, metadata.entries())
    with atomic_write(target) as temporary:
        onnx.save(model, temporary)


def _measured_ranges(out: Path, data: Any, folder: Path) -> dict[str, Path]:
    """Arguments of ``quantize_static``: the ranges of all tensors, measured one after the other.

    ONNX Runtime by itself keeps every map of the network until the end of an image, for HMSA at
    512x1024 more than 20 GB. Its newer versions read ranges from a file.
    """
    calibrate = require('onnxruntime.quantization.calibrate')
    runtime = require('onnxruntime')
    static = require('onnxruntime.quantization').quantize_static
    if 'calibration_cache_path' not in inspect.signature(static).parameters:
        return {}
    measured = calibrate.create_calibrator(
        out, _ROUNDED, augmented_model_path=str(folder / 'measured.onnx')
    )
    settings = runtime.SessionOptions()
    settings.graph_optimization_level = runtime.GraphOptimizationLevel.ORT_DISABLE_ALL
    settings.execution_order = runtime.ExecutionOrder.PRIORITY_BASED  # as the nodes are written
    measured.infer_session = runtime.InferenceSession(
        measured.augmented_model_path, settings, providers=['CPUExecutionProvider']
    )
    measured.collect_data(data)
    calibrate.save_tensors_data(measured.compute_data(), folder / 'ranges.json')
    return {'calibration_cache_path': folder / 'ranges.json'}


def _require_layers(names: Sequence[str], known: Sequence[str]) -> None:
    unknown = next((name for name in names if name not in known), None)
    if unknown is not None:
        near = difflib.get_close_matches(unknown, known, n=1)
        hint = f'did you mean {near[0]}?' if near else 'name one that a refused export named'
        raise ConfigError(f'--leave-out {unknown}: the file has no such layer, {hint}')


def _behind_the_last_layer(model: Any) -> list[str]:
    """Names of the nodes that no layer reads: scores are enlarged and joined in 32 bits."""
    needed: set[str] = set()  # values that lead to a layer
    behind = []
    for node in reversed(model.graph.node):
        if node.op_type in _QUANTIZED or needed.intersection(node.output):
            needed.update(node.input)
        else:
            behind.append(node.name)
    return behind


def _agreement(
    exact: Any, inputs: Sequence[np.ndarray], metadata: Metadata
) -> Callable[..., tuple[float, list[float]]]:
    """What NNCF asks of a model: its fraction of labels that are those of ``exact``, on inputs."""

    def labels(compiled: Any, batch: np.ndarray) -> np.ndarray:
        first = np.array(compiled(batch)[compiled.outputs[0]])
        if metadata.output not in ('logits', 'probabilities'):
            return first
        middle = 0.0 if metadata.output == 'logits' else metadata.threshold or 0.5
        return first.argmax(axis=1) if first.shape[1] > 1 else first[:, 0] > middle

    settings = {'INFERENCE_PRECISION_HINT': 'f32'}
    compiled = openvino_core().compile_model(exact.clone(), 'CPU', settings)
    expected = [labels(compiled, batch) for batch in inputs]

    def fraction(model: Any, items: Iterable[tuple[int, np.ndarray]]) -> tuple[float, list[float]]:
        found = [float((labels(model, batch) == expected[i]).mean()) for i, batch in items]
        return float(np.mean(found)), found

    return fraction


def layers_in_8_bits(out: Path) -> set[str]:
    """Names of the layers of an OpenVINO file that are quantized."""

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
        for node in openvino_core().read_model(str(out)).get_ops()
        if node.get_type_name() in _IN_OPENVINO
        and any(is_rounded(one.get_source_output().get_node()) for one in node.inputs())
    }


def ranked_layers(
    exact: Path, small: Path, images: Sequence[np.ndarray], metadata: Metadata
) -> list[str]:
    """Layers of an 8-bit ONNX file by what they do to its first output, worst first.

    Each is rounded alone, weights, input and output, in the file of 32 bits: a layer that is near
    the image may be the worst although it rounds its own input least.

    Args:
        exact: the file in 32 bits.
        small: the same in 8 bits.
        images: (H, W, C), of which a few are predicted.
        metadata: of the file.
    """
    onnx, runtime = require('onnx'), require('onnxruntime')
    model, rounded = onnx.load(str(exact)), onnx.load(str(small))
    most = _RANKED_SIDE if metadata.size is None else None
    inputs = [
        np.repeat(as_input(image[:most, :most], metadata), metadata.batch or 1, axis=0)
        for image in images[:: -(-len(images) // _RANKED)]
    ]
    settings = runtime.SessionOptions()
    settings.log_severity_level = 3  # else it says which weights are not used

    def first_outputs(one: Any) -> list[np.ndarray]:
        session = runtime.InferenceSession(
            one.SerializeToString(), settings, providers=['CPUExecutionProvider']
        )
        return [session.run(None, {'images': batch})[0] for batch in inputs]

    expected = first_outputs(model)
    errors = []
    for node in model.graph.node:
        if node.op_type not in _QUANTIZED:
            continue
        alone = _with_one_rounded(model, rounded, node.name)
        if alone is None:
            continue
        found = first_outputs(alone)
        # labels that differ, or the mean error of scores
        apart = [np.abs(a.astype(np.float64) - b) for a, b in zip(found, expected)]
        if metadata.output.startswith('labels'):
            apart = [one > 0 for one in apart]
        errors.append((float(np.mean([one.mean() for one in apart])), node.name))
    return [name for _, name in sorted(errors, key=lambda one: -one[0])]


def _with_one_rounded(exact: Any, small: Any, name: str) -> Any:
    """The graph ``exact`` with one layer rounded as in ``small``; None: it is not rounded there."""
    layer = next((node for node in small.graph.node if node.name == name), None)
    makers = {output: node for node in small.graph.node for output in node.output}
    before: dict[str, Any] = {}  # nodes by their output, in order
    inputs = []
    for value in layer.input if layer is not None else ():
        inputs.append(value)
        if value not in makers or makers[value].op_type != 'DequantizeLinear':
            continue
        quantized = makers[value].input[0]
        if quantized in makers:
            before[quantized] = _copied(makers[quantized])
        before[value] = _copied(makers[value])
        # a bias keeps its name there, and is an initializer here
        before[value].output[0] = inputs[-1] = f'{value}.rounded'
    if layer is None or not before:
        return None
    model = _copied(exact)
    position = next(k for k, node in enumerate(model.graph.node) if node.name == name)
    place = model.graph.node[position]
    del place.input[:]
    place.input.extend(inputs)
    after = []
    rounded = _readers(small, layer.output[0], 'QuantizeLinear')
    read = _readers(small, rounded[0].output[0], 'DequantizeLinear') if rounded else []
    if read:
        after = [_copied(rounded[0]), _copied(read[0])]
        after[1].output[0] = place.output[0]
        after[0].input[0] = place.output[0] = f'{place.output[0]}.exact'
    nodes = list(map(_copied, model.graph.node))
    nodes[position : position + 1] = [*before.values(), nodes[position], *after]
    known = {one.name for one in model.graph.initializer}
    used = {value for node in (*before.values(), *after) for value in node.input} - known
    model.graph.initializer.extend(one for one in small.graph.initializer if one.name in used)
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    return model


def _readers(model: Any, value: str, kind: str) -> list[Any]:
    return [node for node in model.graph.node if node.op_type == kind and node.input[0] == value]


def _copied(message: Any) -> Any:
    copy = type(message)()
    copy.CopyFrom(message)
    return copy


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
