"""Smaller numbers in a written file: weights in 16 bits, or layers in 8 bits.

In 8 bits the ranges of the values are those that images show. ONNX Runtime makes ONNX files
smaller, NNCF those of OpenVINO.
"""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

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
_IN_OPENVINO = ('Convolution', 'GroupConvolution', 'MatMul')  # what is quantized there
_BEFORE_WEIGHTS = ('Convert', 'Multiply', 'Subtract', 'Reshape', 'Transpose')  # in 8 bits
_VALIDATED = 8  # images on which NNCF compares labels
_WORST = 20  # layers that are left out at first: one of so many, at least one


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
    """
    target = target or out
    if out.suffix == '.xml':
        nncf, openvino = require('nncf'), require('openvino')
        inputs = [np.repeat(as_input(one, metadata), metadata.batch or 1, axis=0) for one in images]
        data = nncf.Dataset(inputs)
        few = inputs[:: -(-len(inputs) // _VALIDATED)]  # each is predicted once for every layer
        scope = nncf.IgnoredScope(names=list(left_out)) if left_out else None
        exact = openvino_core().read_model(str(out))
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
    with quiet_exporter():
        quantization.quantize_static(
            str(out),
            str(small),
            _calibration(images, metadata),
            quant_format=quantization.QuantFormat.QDQ,
            per_channel=True,
            op_types_to_quantize=list(_QUANTIZED),
            nodes_to_exclude=list(left_out),
        )
    model = onnx.load(str(small))
    small.unlink()
    del model.metadata_props[:]
    onnx.helper.set_model_props(model, metadata.entries())
    with atomic_write(target) as temporary:
        onnx.save(model, temporary)


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
        if node.op_type in _QUANTIZED and any(name in errors for name in node.input)
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
