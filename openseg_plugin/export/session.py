"""Exported files run in their own runtime (ONNX Runtime, OpenVINO, torch), beside their model.

Whether a file gives the labels of the model is part of every export. The reference does not pass
through the exported graph: images go through the model's own preprocessor and ``predict``, as
``openseg test`` does it. So a wrong mean, a swapped channel order or a graph that is right at the
recorded size alone shows here.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from mmseg.structures import SegDataSample
from torch import Tensor, nn

from openseg_plugin.errors import CheckpointError, ConfigError, UserError
from openseg_plugin.export.metadata import KEY, Metadata, parse
from openseg_plugin.export.targets import as_input, require, to_tensor

if TYPE_CHECKING:
    from mmseg.models.segmentors import BaseSegmentor

ENDINGS = ('.onnx', '.xml', '.pt2')
Run = Callable[[np.ndarray], list[np.ndarray]]


class ExportedModel:
    """An exported file, ready to run.

    Args:
        path: .onnx, .xml (with its .bin) or .pt2, written by this package.
        threads: of the runtime; None: its own choice.

    Attributes:
        metadata: what the file says about itself.

    Raises:
        CheckpointError: the file is damaged or was not exported by this package.
        DependencyError: its runtime is not installed.
    """

    def __init__(self, path: str | Path, *, threads: int | None = None) -> None:
        self.path = Path(path)
        if not self.path.is_file():
            raise CheckpointError(f'{path} does not exist')
        openers = {'.onnx': _open_onnx, '.xml': _open_openvino, '.pt2': _open_torch}
        if self.path.suffix not in openers:
            raise ConfigError(f'{path}: give a file ending in {", ".join(ENDINGS)}')
        try:
            text, self._run = openers[self.path.suffix](self.path, threads)
        except (CheckpointError, ImportError):
            raise
        except Exception as error:  # every runtime has errors of its own
            raise CheckpointError(
                f'{path} cannot be opened, it is damaged or for another runtime: '
                f'{" ".join(str(error).split())[:200]}'
            ) from error
        self.metadata: Metadata = parse(text, path=self.path)

    def run(self, image: np.ndarray) -> list[np.ndarray]:
        """Outputs for one RGB image (H, W, C) uint8, each without its batch axis.

        Raises:
            ConfigError: the image has another size than the file was made for.
        """
        size = self.metadata.size
        if size is not None and image.shape[:2] != tuple(size):
            raise ConfigError(
                f'{self.path} takes images of {size[0]}x{size[1]} pixels, got '
                f'{image.shape[0]}x{image.shape[1]}: export without --size, or resize the image'
            )
        batch = as_input(image, self.metadata)
        count = self.metadata.batch or 1
        if count > 1:
            batch = np.repeat(batch, count, axis=0)
        return [output[0] for output in self._run(batch)]

    def labels(self, image: np.ndarray) -> np.ndarray:
        """Classes (H, W) of one RGB image (H, W, C) uint8."""
        first = self.run(image)[0]
        if self.metadata.output in ('labels', 'labels+confidence'):
            return first
        if len(first) > 1:
            return first.argmax(axis=0)
        threshold = self.metadata.threshold if self.metadata.threshold is not None else 0.5
        scores = first[0]
        if self.metadata.output == 'logits':
            scores = 1 / (1 + np.exp(-scores))
        return (scores > threshold).astype(np.uint8)


def _open_onnx(path: Path, threads: int | None) -> tuple[str | None, Run]:
    runtime = require('onnxruntime')
    settings = runtime.SessionOptions()
    if threads is not None:
        settings.intra_op_num_threads = threads
    session = runtime.InferenceSession(str(path), settings, providers=_providers(runtime))
    text = session.get_modelmeta().custom_metadata_map.get(KEY)
    return text, lambda batch: list(session.run(None, {'images': batch}))


def _providers(runtime: Any) -> list[str]:
    wanted = ('CUDAExecutionProvider', 'CPUExecutionProvider')
    return [name for name in wanted if name in runtime.get_available_providers()]


def _open_openvino(path: Path, threads: int | None) -> tuple[str | None, Run]:
    openvino = require('openvino')
    core = openvino.Core()
    model = core.read_model(str(path))
    text = str(model.get_rt_info([KEY]).astype(str)) if model.has_rt_info([KEY]) else None
    # OpenVINO takes bfloat16 by itself on some processors
    settings: dict[str, Any] = {'INFERENCE_PRECISION_HINT': 'f32'}
    if threads is not None:
        settings['INFERENCE_NUM_THREADS'] = threads
    compiled = core.compile_model(model, 'CPU', settings)

    def run(batch: np.ndarray) -> list[np.ndarray]:
        results = compiled(batch)
        return [np.array(results[output]) for output in compiled.outputs]

    return text, run


def _open_torch(path: Path, threads: int | None) -> tuple[str | None, Run]:
    import torch

    extra = {KEY: ''}
    program = torch.export.load(path, extra_files=extra)
    module = program.module()

    def run(batch: np.ndarray) -> list[np.ndarray]:
        with torch.no_grad():
            outputs = module(to_tensor(batch))
        return [one.numpy() for one in (outputs if isinstance(outputs, tuple) else (outputs,))]

    text = extra[KEY]
    return (text.decode() if isinstance(text, bytes) else text), run


MOST_DIFFERING = 1e-4  # fraction of the labels; fp32 differs where two classes are nearly equal


class ExportDiffersError(UserError):
    """The exported file does not give what the model gives."""


@dataclass(frozen=True)
class CheckResult:
    """Comparison of an exported file with its model.

    Attributes:
        images: how many were compared.
        pixels: of all of them.
        differing: pixels with another label.
        largest_margin: between the two best probabilities where labels differ; a large one says
            that the file is wrong, a small one that the model itself is undecided there.
    """

    images: int
    pixels: int
    differing: int
    largest_margin: float

    @property
    def fraction(self) -> float:
        """Fraction of the labels that differ, 0 to 1."""
        return self.differing / max(self.pixels, 1)

    def as_dict(self) -> dict[str, Any]:
        """For the metadata of the file."""
        return asdict(self)

    def sentence(self) -> str:
        """What was found, for people."""
        return (
            f'{self.differing} of {self.pixels} labels on {self.images} images differ from the '
            f'model (margin of the two best classes there at most {self.largest_margin:.2g})'
        )


def compare(exported: ExportedModel, model: nn.Module, images: Sequence[np.ndarray]) -> CheckResult:
    """Labels of both for RGB images (H, W, C) uint8."""
    pixels = differing = 0
    margin = 0.0
    for image in images:
        labels, probabilities = reference(model, image)
        wrong = exported.labels(image).astype(np.int64) != labels
        pixels += wrong.size
        differing += int(wrong.sum())
        if wrong.any():
            margin = max(margin, float(_margins(probabilities)[wrong].max()))
    return CheckResult(len(images), pixels, differing, margin)


def require_equal(result: CheckResult, *, tolerance: float = MOST_DIFFERING) -> None:
    """Raises ExportDiffersError where too many labels differ."""
    if result.fraction > tolerance:
        raise ExportDiffersError(
            f'the exported file is wrong: {result.sentence()}, at most '
            f'{tolerance * 100:g} % may differ; nothing was written'
        )


@torch.no_grad()
def reference(model: 'BaseSegmentor', image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Labels (H, W) and probabilities (K, H, W) of the model for an RGB image (H, W, C) uint8."""
    pixels = image[:, :, ::-1] if image.shape[2] == 3 else image  # loaders give BGR
    inputs = torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1)))
    size = image.shape[:2]
    sample = SegDataSample(metainfo=dict(ori_shape=size, img_shape=size, pad_shape=size))
    (found,) = model.test_step({'inputs': [inputs], 'data_samples': [sample]})
    logits: Tensor = found.seg_logits.data
    probabilities = logits.sigmoid() if len(logits) == 1 else logits.softmax(dim=0)
    return found.pred_sem_seg.data[0].numpy(), probabilities.numpy()


def _margins(probabilities: np.ndarray) -> np.ndarray:
    """(H, W) difference of the two largest; of one channel the distance from a half."""
    if len(probabilities) == 1:
        return np.abs(2 * probabilities[0] - 1)
    best = np.partition(probabilities, -2, axis=0)[-2:]
    return best[1] - best[0]
