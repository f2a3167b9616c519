"""Exported files beside the model that they are made of: speed, labels that differ, error, size.

All ways compute labels and confidence of the same uint8 images, in turn, in one process. The first
is torch as the model was built, the second torch as the tools run it (BatchNorm folded, maps in
channels-last memory). Weights are random, norms have the statistics of a batch: what 16 and 8 bits
do to labels says nothing about a trained network, whose files are measured by ``openseg test``.
OpenVINO's 8 bits are measured where NNCF is installed, LiteRT where litert-torch is.
"""

import copy
import dataclasses
import importlib.util
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from benchmarks import hmsa, model
from benchmarks.core import Setting
from openseg_plugin.export import metadata, targets
from openseg_plugin.export.graph import JOINING, GraphOptions, InferenceGraph
from openseg_plugin.export.quantization import quantize
from openseg_plugin.export.session import ExportedModel
from openseg_plugin.models.prepared import prepare
from openseg_plugin.synth.scene import draw_scene

NETWORKS: Mapping[str, Callable[[Setting], nn.Module]] = {
    'hrnet18': lambda setting: model.networks(setting)[1].eval(),
    'hmsa18': lambda setting: hmsa.network(18, setting),
}
TARGETS = ('onnx', 'openvino', 'pt2', 'litert', 'openvino-bf16', 'onnx-int8', 'openvino-int8')
_NEEDED = {'openvino-int8': 'nncf', 'litert': 'litert_torch'}  # packages that may be missing
_ENDINGS = {'pt2': '.pt2', 'litert': '.tflite'}  # of files that are not made of an ONNX file
_COLUMNS = (
    *('model', 'target', 'ms', 'to eager', 'to folded', 'to onnx'),
    *('labels that differ', 'error', 'MB'),
)
_CALIBRATED = 4  # images
Way = Callable[[np.ndarray], list[np.ndarray]]


@dataclasses.dataclass(frozen=True)
class Result:
    """One way beside the first.

    Attributes:
        milliseconds: median of the rounds.
        to_eager: how many times as fast as torch as built.
        to_folded: likewise as torch prepared.
        to_onnx: likewise as the ONNX file in 32 bits; None: it is not measured.
        differing: pixels with another label than that of torch as built.
        pixels: of the image.
        error: largest difference of the confidence.
        megabytes: of the file; None: it is torch.
    """

    milliseconds: float
    to_eager: float
    to_folded: float
    to_onnx: float | None
    differing: int
    pixels: int
    error: float
    megabytes: float | None


def run(
    names: Sequence[str], setting: Setting, *, threads: int, kinds: Sequence[str] = TARGETS
) -> dict[str, dict[str, Any]]:
    """Measures; prints a table in Markdown.

    Args:
        names: of :data:`NETWORKS`.
        setting: size, classes and rounds.
        threads: of all ways; with one the time is that of the processor, with more the clock's.
        kinds: of :data:`TARGETS`.

    Returns:
        Results by network and way, as plain numbers.
    """
    torch.set_num_threads(threads)
    kinds = [kind for kind in kinds if importlib.util.find_spec(_NEEDED.get(kind, 'torch'))]
    print(f'| {" | ".join(_COLUMNS)} |\n|{"---|" * len(_COLUMNS)}')
    results: dict[str, dict[str, Any]] = {}
    for name in names:
        with tempfile.TemporaryDirectory() as folder, torch.no_grad():
            network = NETWORKS[name](setting)
            files = dict(_files(network, Path(folder), setting, kinds))
            results[name] = {}
            for way, result in measured(network, files, setting, threads=threads).items():
                results[name][way] = dataclasses.asdict(result)
                print(_row(name, way, result), flush=True)
    return results


def _files(
    network: nn.Module, folder: Path, setting: Setting, kinds: Sequence[str]
) -> Iterator[tuple[str, Path]]:
    made: dict[bool, tuple[Path, metadata.Metadata]] = {}
    for kind in kinds:
        if kind in _ENDINGS:
            path = folder / f'exact{_ENDINGS[kind]}'
            _written(network, path, setting, joins_late=True)
            yield kind, path
            continue
        runtime, _, precision = kind.partition('-')
        precision = precision or 'fp32'
        late = precision in JOINING
        if late not in made:
            path = folder / f'exact{late:d}.onnx'
            made[late] = path, _written(network, path, setting, joins_late=late)
        onnx, about = made[late]
        if kind == 'onnx':
            yield kind, onnx
            continue
        small = dataclasses.replace(about, precision=precision)
        out = folder / f'{small.precision}{onnx.suffix if runtime == "onnx" else ".xml"}'
        if runtime == 'openvino':
            # in 8 bits it is made smaller afterwards
            targets.write_openvino(onnx, out, small)
        if precision == 'int8':
            images = [_image(setting, seed) for seed in range(1, 1 + _CALIBRATED)]
            quantize(onnx if runtime == 'onnx' else out, images, small, target=out)
        yield kind, out


def _written(
    network: nn.Module, path: Path, setting: Setting, *, joins_late: bool
) -> metadata.Metadata:
    options = GraphOptions(size=setting.size, output='labels+confidence')
    graph = InferenceGraph(network, options, joins_late=joins_late).eval()
    about = metadata.metadata_of(
        graph,
        classes=[str(one) for one in range(setting.classes)],
        palette=[(one, one, one) for one in range(setting.classes)],
        config={},
        checkpoint=None,
    )
    return targets.write(graph, path, about)


def measured(
    network: nn.Module, files: Mapping[str, Path], setting: Setting, *, threads: int
) -> dict[str, Result]:
    """Results of torch and of files, by the name of the way."""
    image = _image(setting, 0)
    options = GraphOptions(size=setting.size, output='labels+confidence')
    ways: dict[str, Way] = {
        'torch': _of_torch(network, options),
        'torch folded': _of_torch(prepare(copy.deepcopy(network)), options),
    }
    for name, path in files.items():
        ways[name] = _of_file(path, threads)
    outputs = {name: way(image) for name, way in ways.items()}
    times: dict[str, list[float]] = {name: [] for name in ways}
    clock = time.process_time if threads == 1 else time.perf_counter
    for _ in range(setting.rounds):
        for name, way in ways.items():
            start = clock()
            way(image)
            times[name].append(1e3 * (clock() - start))
    taken = {name: statistics.median(one) for name, one in times.items()}
    labels, confidence = outputs['torch']
    return {
        name: Result(
            milliseconds=round(taken[name], 1),
            to_eager=round(taken['torch'] / taken[name], 3),
            to_folded=round(taken['torch folded'] / taken[name], 3),
            to_onnx=round(taken['onnx'] / taken[name], 3) if 'onnx' in taken else None,
            differing=int((found[0] != labels).sum()),
            pixels=labels.size,
            error=float(np.abs(found[1] - confidence).max()),
            megabytes=None if name not in files else round(_size(files[name]) / 2**20, 3),
        )
        for name, found in outputs.items()
    }


def _of_torch(network: nn.Module, options: GraphOptions) -> Way:
    graph = InferenceGraph(network, options).eval()
    return lambda image: [one.numpy()[0] for one in graph(torch.from_numpy(image[None]))]


def _of_file(path: Path, threads: int) -> Way:
    exported = ExportedModel(path, threads=threads)
    return lambda image: [one[0] for one in exported.run_batch([image])]


def _image(setting: Setting, seed: int) -> np.ndarray:
    return np.ascontiguousarray(draw_scene((0, seed), size=setting.size).image)


def _size(path: Path) -> int:
    weights = path.with_suffix('.bin')  # of OpenVINO
    return path.stat().st_size + (weights.stat().st_size if path.suffix == '.xml' else 0)


def _row(name: str, way: str, result: Result) -> str:
    cells = (
        name,
        way,
        f'{result.milliseconds:.0f}',
        f'{result.to_eager:.2f}',
        f'{result.to_folded:.2f}',
        '' if result.to_onnx is None else f'{result.to_onnx:.2f}',
        f'{result.differing} of {result.pixels}',
        f'{result.error:.1e}',
        '' if result.megabytes is None else f'{result.megabytes:.1f}',
    )
    return f'| {" | ".join(cells)} |'
