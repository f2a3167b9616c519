"""Exported files run in their own runtime: ONNX Runtime, OpenVINO, LiteRT or torch.

:class:`ExportedModel` takes images and gives arrays; :class:`ExportedSegmentor` is the same file as
a model of mmseg, for every tool that predicts.

Legend: K classes, (H, W) size of an image in pixels.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.model import BaseDataPreprocessor, BaseModel
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample
from torch import Tensor, nn

from openseg_plugin.errors import CheckpointError, ConfigError, DependencyError
from openseg_plugin.export.metadata import KEY, Metadata, as_input, parse
from openseg_plugin.export.recording import as_module
from openseg_plugin.export.targets import openvino_core, require, tflite_metadata
from openseg_plugin.layers.resize import resize_bilinear
from openseg_plugin.layers.sliding_window import window_slices
from openseg_plugin.registry import MODELS

ENDINGS = ('.onnx', '.xml', '.pt2', '.tflite')
_OF_OTHERS = {'.engine': 'trtexec or TensorRT itself'}
_TILE = 1024  # pixels of a side, of images that are too large for one piece
_LARGEST = 2**24  # pixels of an image that goes in one piece
Run = Callable[[np.ndarray], list[np.ndarray]]


def exported_file(path: str | Path) -> Path | None:
    """The exported file that ``path`` is, or that lies in it; None: it is something else.

    Raises:
        CheckpointError: a folder holds several, or the file is for a runtime that is not run here.
    """
    path = Path(path)
    if path.suffix in _OF_OTHERS and path.is_file():
        raise CheckpointError(
            f'{path} is run by {_OF_OTHERS[path.suffix]}: give one of {", ".join(ENDINGS)}'
        )
    if path.suffix in ENDINGS and not path.is_dir():
        return path
    if not path.is_dir():
        return None
    inside = [one for one in sorted(path.iterdir()) if one.suffix in ENDINGS]
    if len(inside) > 1:
        names = ', '.join(one.name for one in inside[:5])
        raise CheckpointError(f'{path} holds {len(inside)} exported models ({names}): name one')
    return inside[0] if inside else None


def metadata_in(path: str | Path) -> Metadata:
    """What an exported file says about itself; its runtime does not prepare it to run.

    Raises: as :class:`ExportedModel`.
    """
    return _open(Path(path), threads=None, is_run=False)[0]


class ExportedModel:
    """An exported file, ready to run.

    Args:
        path: .onnx, .xml (with its .bin), .tflite or .pt2, written by this package.
        threads: of the runtime; None: its own choice.

    Attributes:
        metadata: what the file says about itself.

    Raises:
        CheckpointError: the file is damaged or was not exported by this package.
        DependencyError: its runtime is not installed.
    """

    def __init__(self, path: str | Path, *, threads: int | None = None) -> None:
        self.path = Path(path)
        self.metadata, self._run = _open(self.path, threads=threads, is_run=True)

    @property
    def has_scores(self) -> bool:
        """Whether it gives logits or probabilities, and not labels alone."""
        return self.metadata.output in ('logits', 'probabilities')

    def run(self, image: np.ndarray) -> list[np.ndarray]:
        """Outputs for one RGB image (H, W, C), each without its batch axis.

        A model that was trained on windows (``metadata.window``) gives the mean of its logits over
        them, as the model itself does.

        Raises:
            ConfigError: the image does not fit the file.
        """
        window, stride = self.metadata.window, self.metadata.stride
        if window is None or stride is None:
            return [output[0] for output in self.run_batch([image])]
        return [self._slide(image, window, stride)]

    def run_batch(self, images: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Outputs (N, ...) for images of one size, in as many calls as the file's batch asks for.

        Raises:
            ConfigError: an image does not fit the file.
        """
        for image in images:
            self._check(image)
        inputs = np.concatenate([as_input(image, self.metadata) for image in images])
        count = self.metadata.batch
        if count is None or count == len(inputs):
            return self._run(inputs)
        parts = []
        for start in range(0, len(inputs), count):
            part = inputs[start : start + count]
            filling = np.repeat(part[-1:], count - len(part), axis=0)
            outputs = self._run(np.concatenate([part, filling]))
            parts.append([output[: len(part)] for output in outputs])
        return [np.concatenate(outputs) for outputs in zip(*parts)]

    def labels(self, image: np.ndarray) -> np.ndarray:
        """Classes (H, W) of one RGB image (H, W, C)."""
        return self.labels_of(self.run(image)[0])

    def labels_of(self, first: np.ndarray) -> np.ndarray:
        """Classes (H, W) of the first output for an image."""
        if not self.has_scores:
            return first
        if len(first) > 1:
            return first.argmax(axis=0)
        threshold = self.metadata.threshold if self.metadata.threshold is not None else 0.5
        scores = first[0]
        if self.metadata.output == 'logits':
            scores = 1 / (1 + np.exp(-scores))
        return (scores > threshold).astype(np.uint8)

    def probabilities_of(self, first: np.ndarray) -> np.ndarray:
        """Probabilities (K, H, W) of the first output for an image, which are scores."""
        if self.metadata.output == 'probabilities':
            return first
        scores = torch.from_numpy(first)
        return (scores.sigmoid() if len(first) == 1 else scores.softmax(dim=0)).numpy()

    def _slide(
        self, image: np.ndarray, window: tuple[int, int], stride: tuple[int, int]
    ) -> np.ndarray:
        height, width = image.shape[:2]
        total, count = None, np.zeros((height, width), np.float32)
        for place in window_slices((height, width), window, stride):
            (scores,) = self.run_batch([image[place]])
            if total is None:
                total = np.zeros((scores.shape[1], height, width), np.float32)
            total[(slice(None), *place)] += scores[0]
            count[place] += 1
        assert total is not None, 'there is a window'
        return total / count

    def _check(self, image: np.ndarray) -> None:
        """Raises ConfigError for an image that the file does not take."""
        about = self.metadata
        if image.ndim != 3 or image.shape[2] != about.image_channels:
            raise ConfigError(
                f'{self.path} takes images of {about.image_channels} channels, got an array of '
                f'{"x".join(map(str, image.shape))}'
            )
        if about.layout.startswith('uint8') and image.dtype != np.uint8:
            raise ConfigError(
                f'{self.path} takes 8-bit images, got {image.dtype}: export with --input float-nchw'
            )
        if about.size is not None and image.shape[:2] != tuple(about.size):
            raise ConfigError(
                f'{self.path} takes images of {about.size[0]}x{about.size[1]} pixels, got '
                f'{image.shape[0]}x{image.shape[1]}: export without --size, or resize the image'
            )
        if about.size is None and min(image.shape[:2]) < about.smallest:
            raise ConfigError(
                f'{self.path} takes images of at least {about.smallest}x{about.smallest} pixels, '
                f'got {image.shape[0]}x{image.shape[1]}: enlarge the image, or export with --size'
            )


class _Head(nn.Module):
    """What the tools ask the head of a model."""

    def __init__(self, about: Metadata) -> None:
        super().__init__()
        self.num_classes = len(about.classes)
        self.out_channels = 1 if about.threshold is not None else len(about.classes)
        self.threshold = about.threshold
        self.ignore_index = about.ignore_index


class _AsLoaded(BaseDataPreprocessor):
    """Images as they are; a batch of one is a tensor (1, C, H, W), as of any preprocessor."""

    def forward(self, data: Any, training: bool = False) -> Any:
        data = super().forward(data, training)
        inputs = data['inputs']
        if not isinstance(inputs, Tensor) and len(inputs) == 1:
            data['inputs'] = torch.stack(list(inputs))
        return data


@MODELS.register_module()
class ExportedSegmentor(BaseModel):
    """An exported file in the place of a segmentor: images as they are loaded in, labels out.

    Test-time augmentation asks it for :meth:`scores`, as it asks any segmentor.

    Args:
        path: see :class:`ExportedModel`.
        threads: of the runtime; None: those of torch.
        data_preprocessor: accepted for mmengine's sake; what it does is in the file.
    """

    def __init__(
        self, path: str, threads: int | None = None, data_preprocessor: Any = None
    ) -> None:
        super().__init__(_AsLoaded())
        self.exported = ExportedModel(path, threads=threads or torch.get_num_threads())
        self.decode_head = _Head(self.exported.metadata)
        self.align_corners = self.exported.metadata.align_corners

    def forward(
        self,
        inputs: Sequence[Tensor],
        data_samples: Sequence[SegDataSample] | None = None,
        mode: str = 'predict',
    ) -> list[SegDataSample]:
        """Samples with ``pred_sem_seg``, and ``seg_logits`` where the file gives scores.

        Args:
            inputs: (C, H, W) each, as the pipeline packs them: of three channels blue is first.
            data_samples: their samples.
            mode: 'predict' alone.

        Raises:
            ConfigError: an image does not fit the file, or it is not to be predicted.
        """
        if mode != 'predict':
            raise ConfigError(f'{self.exported.path} is an exported file, which only predicts')
        samples = data_samples or [SegDataSample() for _ in inputs]
        images = [_as_rgb(packed) for packed in inputs]
        return [
            self._filled(sample, image.shape[:2], first)
            for sample, image, first in zip(samples, images, self._first_outputs(images))
        ]

    def _first_outputs(self, images: Sequence[np.ndarray]) -> Sequence[np.ndarray]:
        """First output for each image, in one call where the file takes them so."""
        is_one_size = len({image.shape for image in images}) == 1
        if is_one_size and self.exported.metadata.window is None:
            return list(self.exported.run_batch(images)[0])
        return [self.exported.run(image)[0] for image in images]

    def scores(self, inputs: Tensor) -> Tensor:
        """Logits (N, K, H, W) of images (N, C, H, W) as they are loaded, blue first.

        Raises:
            ConfigError: the file gives no logits, or an image does not fit it.
        """
        if self.exported.metadata.output != 'logits':
            raise ConfigError(
                f'{self.exported.path} gives {self.exported.metadata.output}, but views are merged '
                'by their logits: export with --output logits, or leave --aug-test out'
            )
        found = [self.exported.run(_as_rgb(image))[0] for image in inputs]
        return torch.from_numpy(np.stack(found))

    def _filled(
        self, sample: SegDataSample, predicted: Sequence[int], first: np.ndarray
    ) -> SegDataSample:
        """The sample with what the file says of its image, which went in with (H, W) pixels."""
        size = tuple(sample.metainfo.get('ori_shape', predicted))[:2]
        if size == tuple(predicted):
            labels = self.exported.labels_of(first)
        elif not self.exported.has_scores:
            raise ConfigError(
                f'{self.exported.path} gives labels, but this pipeline resizes images from '
                f'{size[0]}x{size[1]} to {predicted[0]}x{predicted[1]} pixels, and labels '
                'cannot be resized back: export with --output logits'
            )
        else:
            scores = torch.from_numpy(np.ascontiguousarray(first))[None]
            first = resize_bilinear(scores, size, align_corners=self.align_corners)[0].numpy()
            labels = self.exported.labels_of(first)
        found = torch.from_numpy(labels.astype(np.int64))[None]
        data = {'pred_sem_seg': PixelData(data=found)}
        if self.exported.has_scores:
            data['seg_logits'] = PixelData(data=self._logits(first))
        sample.set_data(data)
        return sample

    def _logits(self, scores: np.ndarray) -> Tensor:
        """Logits that have these scores as their probabilities."""
        found = torch.from_numpy(np.ascontiguousarray(scores))
        if self.exported.metadata.output == 'logits':
            return found
        tiny = torch.finfo(found.dtype).tiny
        return found.logit(eps=1e-7) if len(found) == 1 else found.clamp(min=tiny).log()

    def automatic_tile(self, size: tuple[int, int]) -> tuple[int, int] | None:
        """Tile for an image of (H, W); None: it goes as a whole."""
        about = self.exported.metadata
        if about.size is not None or about.window is not None:
            return None
        is_large = size[0] * size[1] > _LARGEST and self.exported.has_scores
        return (_TILE, _TILE) if is_large else None


def _as_rgb(packed: Tensor) -> np.ndarray:
    """(H, W, C) of an image (C, H, W) as pipelines pack it: of three channels blue is first."""
    image = packed.cpu().numpy().transpose(1, 2, 0)
    return np.ascontiguousarray(image[:, :, ::-1] if image.shape[2] == 3 else image)


def _open(path: Path, *, threads: int | None, is_run: bool) -> tuple[Metadata, Run]:
    """Metadata and the function that runs the file, which is not prepared unless ``is_run``."""
    if not path.is_file():
        raise CheckpointError(f'{path} does not exist')
    openers = {
        '.onnx': _open_onnx,
        '.xml': _open_openvino,
        '.tflite': _open_litert,
        '.pt2': _open_torch,
    }
    if path.suffix not in openers:
        raise ConfigError(f'{path}: give a file ending in {", ".join(ENDINGS)}')
    if path.suffix == '.xml' and not path.with_suffix('.bin').is_file():
        raise CheckpointError(f'{path} lacks its weights, {path.with_suffix(".bin").name}')
    try:
        text, run = openers[path.suffix](path, threads, is_run)
    except (CheckpointError, DependencyError):
        raise
    except Exception as error:  # every runtime has errors of its own
        raise CheckpointError(
            f'{path} cannot be opened, it is damaged or for another runtime: '
            f'{" ".join(str(error).split())[:200]}'
        ) from error
    return parse(text, path=path), run


def _open_onnx(path: Path, threads: int | None, is_run: bool) -> tuple[str | None, Run]:
    runtime = require('onnxruntime')
    settings = runtime.SessionOptions()
    if threads is not None:
        settings.intra_op_num_threads = threads
    if not is_run:
        settings.graph_optimization_level = runtime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = runtime.InferenceSession(str(path), settings, providers=_providers(runtime))
    text = session.get_modelmeta().custom_metadata_map.get(KEY)
    return text, lambda batch: list(session.run(None, {'images': batch}))


def _providers(runtime: Any) -> list[str]:
    wanted = ('CUDAExecutionProvider', 'CPUExecutionProvider')
    return [name for name in wanted if name in runtime.get_available_providers()]


def _open_openvino(path: Path, threads: int | None, is_run: bool) -> tuple[str | None, Run]:
    core = openvino_core()
    model = core.read_model(str(path))
    text = str(model.get_rt_info([KEY]).astype(str)) if model.has_rt_info([KEY]) else None
    if not is_run:
        return text, _not_run
    # asked for, or OpenVINO takes bfloat16 by itself on some processors
    is_bf16 = parse(text, path=path).precision == 'bf16'
    settings: dict[str, Any] = {'INFERENCE_PRECISION_HINT': 'bf16' if is_bf16 else 'f32'}
    if threads is not None:
        settings['INFERENCE_NUM_THREADS'] = threads

    def compiled(one: Any) -> Any:
        try:
            return core.compile_model(one, 'CPU', settings)
        except RuntimeError as error:
            raise CheckpointError(
                f'{path} cannot be run by OpenVINO: {" ".join(str(error).split())[:200]}'
            ) from error

    return text, _OpenVino(model, compiled)


class _OpenVino:
    """Runs a model in a form for the first size, another size in a form for all.

    One that comes again gets a form of its own in the place of the first: that takes a second, and
    saves a quarter of the time of a street scene in 32 bits.

    Args:
        model: as it was read.
        compiled: makes it run.
    """

    def __init__(self, model: Any, compiled: Callable[[Any], Any]) -> None:
        self._model = model
        self._compiled = compiled
        self._of_all: Any = None if model.is_dynamic() else compiled(model)
        self._of_one: tuple[tuple[int, ...], Any] | None = None  # shape of the batch, and its form
        self._last: tuple[int, ...] | None = None

    def __call__(self, batch: np.ndarray) -> list[np.ndarray]:
        form = self._form_for(batch.shape)
        results = form(batch)
        return [np.array(results[output]) for output in form.outputs]

    def _form_for(self, shape: tuple[int, ...]) -> Any:
        if not self._model.is_dynamic():
            return self._of_all
        if self._of_one is not None and self._of_one[0] == shape:
            return self._of_one[1]
        comes_again, self._last = self._last == shape, shape
        if self._of_one is not None and not comes_again:
            self._of_one[1].release_memory()  # of the images before
            if self._of_all is None:
                self._of_all = self._compiled(self._model)
            return self._of_all
        model = self._model.clone()
        model.reshape(list(shape))
        if self._of_all is not None:
            self._of_all.release_memory()
        self._of_one = (shape, self._compiled(model))
        return self._of_one[1]


def _open_litert(path: Path, threads: int | None, is_run: bool) -> tuple[str | None, Run]:
    text = tflite_metadata(path)
    if text is None:  # they are at the end of the file
        raise CheckpointError(
            f'{path} lacks the metadata {KEY!r} at its end: it was cut short, or not exported by '
            'this package; export it with "openseg export"'
        )
    if not is_run:
        return text, _not_run
    interpreter = require('ai_edge_litert.interpreter').Interpreter(
        model_path=str(path), num_threads=threads
    )
    signature = interpreter.get_signature_runner()
    (name,) = signature.get_input_details()

    def run(batch: np.ndarray) -> list[np.ndarray]:
        found = signature(**{name: batch})
        return [found[output] for output in sorted(found)]

    return text, run


def _open_torch(path: Path, threads: int | None, is_run: bool) -> tuple[str | None, Run]:
    extra = {KEY: ''}
    program = torch.export.load(path, extra_files=extra)
    module = as_module(program)

    def run(batch: np.ndarray) -> list[np.ndarray]:
        with torch.no_grad():
            outputs = module(torch.from_numpy(np.ascontiguousarray(batch)))
        return [one.numpy() for one in (outputs if isinstance(outputs, tuple) else (outputs,))]

    text = extra[KEY]
    return (text.decode() if isinstance(text, bytes) else text), run


def _not_run(batch: np.ndarray) -> list[np.ndarray]:
    raise AssertionError('opened for its metadata alone')
