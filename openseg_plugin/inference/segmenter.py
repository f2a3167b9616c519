"""A model that predicts images, whole or in tiles, one by one, in batches or as a stream.

Predictions are those of ``openseg test``, of images one by one bit for bit: the pipeline, the
model and its protocol are the config's. :func:`openseg_plugin.inference.loading.load` makes one.
"""

import hashlib
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from mmcv.transforms import Resize
from mmengine.dataset import Compose
from mmengine.model import BaseTTAModel
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample
from PIL import Image
from torch import Tensor, nn

from openseg_plugin.config.queries import is_step, loads_sample, without_labels
from openseg_plugin.datasets.transforms import ResizeTo, ShortSideCenterCrop, ShortSideResize
from openseg_plugin.errors import ConfigError, DataError
from openseg_plugin.inference import tiling
from openseg_plugin.inference.multi_scale_flip import threshold_of
from openseg_plugin.inference.segmentation import Segmentation, as_bgr
from openseg_plugin.inference.sources import (
    Source,
    TiffWindows,
    check_file,
    fetch,
    find_sources,
    read_tiff,
    why_undecodable,
)
from openseg_plugin.inference.video import frames_of, read_ahead
from openseg_plugin.inference.views import MultiScaleViews
from openseg_plugin.registry import TRANSFORMS
from openseg_plugin.utils.download import is_address
from openseg_plugin.utils.files import digest_of
from openseg_plugin.utils.images import is_tiff
from openseg_plugin.utils.pool import ahead, finished

_RESIZING = (Resize, ResizeTo, ShortSideResize, ShortSideCenterCrop)
_AHEAD = 3  # images that are read while one is predicted


class Segmenter:
    """Predicts images, one by one or as a stream.

    Attributes:
        classes: names of the classes.
        palette: (K, 3) uint8, red, green, blue.
        is_bgr: images that :meth:`read` gives have blue first.
        ignore_exif: see :func:`.loading.load`.

    Args:
        model: a segmentor, or one wrapped for test-time augmentation; predicts by ``test_step``.
        pipeline: configs of the transforms from a path to the model's input.
        classes: see above.
        palette: see above.
        flip_pairs: train ids that change places when an image is flipped.
        refine: changes the labels in a sample (SegFix).
        tile: see :func:`.loading.load`.
        overlap: see :func:`.loading.load`.
        ignore_exif: see :func:`.loading.load`.
        weights: file or folder that its weights are from.
        settings: what the config says about predictions.
    """

    def __init__(
        self,
        model: nn.Module,
        pipeline: Sequence[Mapping[str, Any]],
        *,
        classes: Sequence[str],
        palette: Sequence[Sequence[int]],
        flip_pairs: Sequence[Sequence[int]] = (),
        refine: Callable[[Any], None] | None = None,
        tile: str | tuple[int, int] = 'auto',
        overlap: int | None = None,
        ignore_exif: bool = False,
        weights: str = '',
        settings: str = '',
    ) -> None:
        self.model = model
        self._weights, self._settings = weights, settings
        self._most = tiling.TOGETHER  # images of one size that fit into the memory, as far as known
        self.classes = list(classes)
        self.palette = np.asarray(palette, np.uint8)
        self.flip_pairs = [list(pair) for pair in flip_pairs]
        self.refine = refine
        self.tile = tiling.parse_tile(tile) if isinstance(tile, str) else tile
        self.overlap = overlap
        loading, self._steps = _split(pipeline, ignore_exif=ignore_exif)
        self.ignore_exif = ignore_exif
        self._load = TRANSFORMS.build(loading)
        self.is_bgr = loading.get('imdecode_backend') != 'tifffile'
        color_type = loading.get('color_type', 'color')
        self._ignore_exif = ignore_exif or color_type.endswith('_ignore_orientation')
        color_type = color_type.removesuffix('_ignore_orientation')
        self._color_type = color_type if color_type in ('color', 'grayscale') else None
        self._resizes = resizes(self._steps)
        self._pipeline = Compose([TRANSFORMS.build(step) for step in self._steps])
        # an overlap that cannot be is said before anything is predicted
        tiling.tiling_of((1024, 1024) if isinstance(self.tile, str) else self.tile, overlap)
        if not isinstance(self.tile, str) and self._resizes:
            raise ConfigError(
                'this model resizes every image first, which tiles would change: leave --tile out'
            )

    def digests(self) -> dict[str, str]:
        """Hashes of its weights and of its settings: where they are equal, predictions are."""
        settings = hashlib.sha256(self._settings.encode()).hexdigest()[:16]
        return dict(weights=digest_of(self._weights), settings=settings)

    def cuts(self, shape: Sequence[int]) -> bool:
        """Whether an image of this shape, (H, W) or (H, W, C), is predicted in tiles."""
        return self._tiles(shape) is not None

    @property
    def together(self) -> int:
        """How many images of one size are best predicted in one pass, where memory allows."""
        is_alone = self.refine is not None or isinstance(self.model, BaseTTAModel)
        devices = {one.device.type for one in self.model.parameters()}
        return 1 if is_alone or devices <= {'cpu'} else self._most

    def predict(
        self, image: Any, *, bgr: bool = False, path: str | None = None, frame: int | None = None
    ) -> Segmentation:
        """Labels of an image.

        Args:
            image: path, PIL image, numpy array (H, W) or (H, W, C) in RGB order, or torch tensor
                (C, H, W).
            bgr: the array's channels are blue, green, red.
            path: name of an image in memory.
            frame: its number in a video.

        Raises:
            DataError: the file is missing or cannot be decoded.
            ConfigError: it is no image, or does not fit the model.
        """
        if isinstance(image, str | os.PathLike):
            path = os.fspath(image)
            pixels, is_bgr = self.read(path), self.is_bgr
        else:
            pixels, is_bgr = self._in_memory(image, bgr=bgr), True
        return self.segment(pixels, path=path, frame=frame, is_bgr=is_bgr)

    def _in_memory(self, image: Any, *, bgr: bool) -> np.ndarray:
        kind = self._color_type if self.is_bgr else None
        return as_bgr(image, bgr=bgr, color_type=kind, ignore_exif=self._ignore_exif)

    def read(self, path: str) -> 'np.ndarray | TiffWindows':
        """The image as the config's pipeline loads it, (H, W) or (H, W, C).

        Large TIFFs are opened, and decoded where they are looked at.

        Raises:
            DataError: it is missing, cut short or cannot be decoded.
        """
        if is_address(path):
            is_gray = self.is_bgr and self._color_type == 'grayscale'
            return fetch(path, is_gray=is_gray, ignore_exif=self._ignore_exif)
        check_file(path)
        try:
            if is_tiff(path) and not self.is_bgr:
                return read_tiff(path, channels=self.channels)
            if is_tiff(path) and self._color_type == 'color' and not self._resizes:
                windows = TiffWindows.of(path, partial(self._decode, path), is_bgr=True)
                if windows is not None:
                    return windows
            return self._decode(path)
        except DataError:
            raise
        except Exception as error:  # whatever a decoder does with a broken file
            raise DataError(f'image {path} {why_undecodable(path, error)}') from error

    @property
    def channels(self) -> int | None:
        """Of the images that the model takes; None: it does not say."""
        mean = getattr(self.model.data_preprocessor, 'mean', None)
        return None if mean is None else int(mean.numel())

    def _decode(self, path: str) -> np.ndarray:
        return self._load({'img_path': path})['img']

    @torch.no_grad()
    def segment(
        self,
        pixels: 'np.ndarray | TiffWindows',
        *,
        path: str | None = None,
        frame: int | None = None,
        is_bgr: bool = True,
    ) -> Segmentation:
        """Labels of an image from :meth:`read`; arguments as for :meth:`predict`."""
        labels, logits = self._labels(pixels, path)
        return Segmentation(
            tiling.as_small_integers(labels, len(self.classes)),
            classes=self.classes,
            palette=self.palette,
            image=pixels,
            is_bgr=is_bgr and pixels.ndim == 3 and pixels.shape[2] >= 3,
            logits=logits,
            path=path,
            frame=frame,
        )

    @torch.no_grad()
    def segment_together(
        self,
        images: Sequence[np.ndarray],
        *,
        paths: Sequence[str | None] | None = None,
        is_bgr: bool | None = None,
        keeps_scores: bool = False,
    ) -> list[Segmentation]:
        """Labels of several images from :meth:`read`, in one pass where they have one size.

        Images that need tiles, or more memory together than there is, go one by one.

        Args:
            images: N images (H, W) or (H, W, C).
            paths: their files; None: they were in memory.
            is_bgr: their first channels are blue, green, red; None: as :meth:`read` gives them.
            keeps_scores: their probabilities can be asked for, which takes memory.

        Raises:
            as :meth:`segment`.
        """
        paths = [None] * len(images) if paths is None else paths
        is_bgr = self.is_bgr if is_bgr is None else is_bgr
        found: list[tuple[np.ndarray, Callable[[], Tensor] | None]] | None = None
        height, width, *rest = images[0].shape
        is_one_size = len({one.shape for one in images}) == 1
        together = (height * len(images), width, *rest)
        if is_one_size and self.refine is None and self._tiles(together) is None:
            try:
                found = [_found_in(one) for one in self._samples(images, paths)]
            except (RuntimeError, MemoryError) as error:
                if not tiling.is_out_of_memory(error):
                    raise
                self._most = max(1, min(self._most, len(images) // 2))
        if found is None:
            found = [self._labels(one, path) for one, path in zip(images, paths)]
        return [
            Segmentation(
                tiling.as_small_integers(labels, len(self.classes)),
                classes=self.classes,
                palette=self.palette,
                image=image,
                is_bgr=is_bgr and image.ndim == 3 and image.shape[2] >= 3,
                logits=logits if keeps_scores else None,
                path=path,
            )
            for (labels, logits), image, path in zip(found, images, paths)
        ]

    def stream(
        self,
        sources: str | os.PathLike | Iterable[Any],
        *,
        recursive: bool = False,
        batch_size: int = 1,
    ) -> Iterator[Segmentation]:
        """Segmentations of many images, in order; the next ones are read while one is predicted.

        Args:
            sources: files, folders, patterns, addresses, videos, ``camera:N``, or images in memory.
            recursive: folders with all that is below them.
            batch_size: neighbors of one size that are predicted in one pass, at most.

        Raises:
            ConfigError: ``batch_size`` is below 1.
            DataError: there is nothing, or a file cannot be read.
        """
        if batch_size < 1:
            raise ConfigError(f'batch_size {batch_size}: give 1 or more images')
        if isinstance(sources, str | os.PathLike | np.ndarray | Tensor | Image.Image):
            sources = [sources]
        group: list[_Read] = []
        with ThreadPoolExecutor(_AHEAD) as pool:
            for one in ahead(
                self._reads(sources, pool, recursive=recursive), number=_AHEAD, is_ready=_is_there
            ):
                if group and (one.image.exception() or not one.fits(group[0])):
                    yield from self._together(group)
                    group = []
                one.image.result()  # raises what went wrong, after the results before it
                group.append(one)
                if len(group) == batch_size:
                    yield from self._together(group)
                    group = []
            if group:
                yield from self._together(group)

    def _together(self, group: Sequence['_Read']) -> list[Segmentation]:
        """Segmentations of images of one size."""
        pixels = [one.image.result() for one in group]
        if len(group) == 1:
            one = group[0]
            return [self.segment(pixels[0], path=one.path, frame=one.frame, is_bgr=one.is_bgr)]
        found = self.segment_together(
            pixels,
            paths=[one.path for one in group],
            is_bgr=all(one.is_bgr for one in group),
            keeps_scores=True,
        )
        for seg, one in zip(found, group):
            seg.frame = one.frame
        return found

    def _reads(
        self, given: Iterable[Any], pool: ThreadPoolExecutor, *, recursive: bool
    ) -> Iterator['_Read']:
        """Images, files of images and frames of videos, which are being read."""
        for item in given:
            if not isinstance(item, str | os.PathLike):
                yield _Read(finished(partial(self._in_memory, item, bgr=False)))
                continue
            found = finished(partial(find_sources, [os.fspath(item)], recursive=recursive))
            if found.exception():
                yield _Read(found)
                return
            for source in found.result():
                if source.kind not in ('video', 'camera'):
                    is_bgr = self.is_bgr or source.kind == 'address'
                    image = pool.submit(self.read, source.path)
                    yield _Read(image, path=source.path, is_bgr=is_bgr)
                    continue
                yield from self._frames(source.path)

    def _frames(self, path: str) -> Iterator['_Read']:
        frames = enumerate(read_ahead(frames_of(path, as_stored=self.ignore_exif)))
        while (following := finished(partial(next, frames, None))).exception() is None:
            if following.result() is None:
                return
            frame, pixels = following.result()
            image = finished(partial(self._in_memory, pixels, bgr=False))
            yield _Read(image, path=path, frame=frame)
        yield _Read(following)

    def read_ahead(
        self, sources: Iterable[Source], pool: ThreadPoolExecutor
    ) -> Iterator[tuple[Source, Future[Any]]]:
        """Sources and their images to be; a few are read ahead. Of videos there is no image."""

        def begun() -> Iterator[tuple[Source, Future[Any]]]:
            for source in sources:
                is_moving = source.kind in ('video', 'camera')
                yield source, Future() if is_moving else pool.submit(self.read, source.path)

        return ahead(begun(), number=max(_AHEAD, self.together))

    def _labels(
        self, pixels: 'np.ndarray | TiffWindows', path: str | None
    ) -> tuple[np.ndarray, Callable[[], Tensor] | None]:
        """Class ids (H, W) and what gives the logits, whole or in tiles as memory allows."""
        if self.refine is not None and (path is None or not os.path.isfile(path)):
            raise ConfigError(
                f'{path or "an image in memory"} cannot be refined by SegFix, which finds offsets '
                'by the file: give image files, or leave segfix out'
            )
        tiles = self._tiles(pixels.shape)
        if tiles is None:
            try:
                sample = self._sample(pixels, path)
                if self.refine is not None:
                    self.refine(sample)
                return _found_in(sample)
            except (RuntimeError, MemoryError) as error:
                if not tiling.is_out_of_memory(error):
                    raise
                if self.tile == 'off' or self._resizes:
                    raise DataError(self._too_large(pixels.shape, path)) from error
            half = tuple(max(64, side // 2 // 32 * 32) for side in pixels.shape[:2])
            tiles = tiling.tiling_of(half, self.overlap)
            return self._halved(pixels, path, tiles), None
        try:
            return self._blended(pixels, path, tiles), None
        except (RuntimeError, MemoryError) as error:
            if not tiling.is_out_of_memory(error):
                raise
        return self._halved(pixels, path, tiles.halved()), None

    def _too_large(self, shape: Sequence[int], path: str | None) -> str:
        can_cut = self.tile == 'off' and not self._resizes
        remedies = [*(['let it be cut with --tile auto'] if can_cut else []), 'give a smaller one']
        if any(one.device.type != 'cpu' for one in self.model.parameters()):
            remedies.append('use --device cpu')
        return (
            f'{path or "image"}: the memory is not enough for {shape[0]}x{shape[1]} pixels: '
            f'{", or ".join(remedies)}'
        )

    def _halved(
        self, pixels: 'np.ndarray | TiffWindows', path: str | None, tiles: tiling.Tiling
    ) -> np.ndarray:
        rows, columns = tiles.size
        print(
            f'{path or "image"}: out of memory, goes on in tiles of {rows}x{columns} pixels',
            file=sys.stderr,
        )
        try:
            return self._blended(pixels, path, tiles)
        except (RuntimeError, MemoryError) as error:
            if not tiling.is_out_of_memory(error):
                raise
            raise DataError(
                f'{path or "image"}: the memory is not enough for tiles of {rows}x{columns} pixels '
                'either: give smaller ones with --tile HxW, or another --device'
            ) from error

    def _tiles(self, shape: Sequence[int]) -> tiling.Tiling | None:
        """How an image of this shape is cut; None: it goes as a whole."""
        if self.tile == 'off' or self._resizes:
            return None
        height, width = shape[:2]
        size: Any = self.tile
        if size == 'auto':
            channels = 1 if len(shape) == 2 else shape[2]
            size = tiling.automatic(self.model, (height, width), channels=channels)
        if size is None or (height <= size[0] and width <= size[1]):
            return None
        return tiling.tiling_of(size, self.overlap)

    def _blended(
        self, pixels: 'np.ndarray | TiffWindows', path: str | None, tiles: tiling.Tiling
    ) -> np.ndarray:
        height, width = pixels.shape[:2]
        labels = np.empty((height, width), np.uint8 if len(self.classes) <= 256 else np.uint16)
        threshold = threshold_of(self._segmentor)

        def predict(top: int, bottom: int, left: int, right: int) -> Tensor:
            sample = self._sample(pixels[top:bottom, left:right], path)
            if 'seg_logits' not in sample:
                raise ConfigError(
                    f'{path or "an image in memory"} needs tiles, whose scores are blended, but '
                    'this file gives labels alone: export with --output logits, or use --tile off'
                )
            logits = sample.seg_logits.data.float()
            return logits.sigmoid() if len(logits) == 1 else logits.softmax(0)

        def finish(rows: slice, columns: slice, scores: Tensor) -> None:
            best = (scores[0] > threshold).long() if len(scores) == 1 else scores.argmax(0)
            labels[rows, columns] = best.cpu().numpy()

        tiling.blend(predict, (height, width), tiles, finish)
        if self.refine is not None:
            sample = SegDataSample(metainfo={'img_path': path})
            whole = torch.from_numpy(labels.astype(np.int64))[None]
            sample.set_data({'pred_sem_seg': PixelData(data=whole)})
            self.refine(sample)
            labels = sample.pred_sem_seg.data[0].cpu().numpy()
        return labels

    @property
    def _segmentor(self) -> nn.Module:
        return getattr(self.model, 'module', self.model)

    def _sample(self, pixels: 'np.ndarray | TiffWindows', path: str | None) -> SegDataSample:
        """The model's prediction of an image or a part of it."""
        return self._samples([pixels], [path])[0]

    def _samples(
        self, images: 'Sequence[np.ndarray | TiffWindows]', paths: Sequence[str | None]
    ) -> list[SegDataSample]:
        """The model's predictions of images, in one batch."""
        packed = [self._packed(pixels, path) for pixels, path in zip(images, paths)]
        batch: dict[str, Any] = {}
        has_views = isinstance(packed[0]['inputs'], list)
        for key in packed[0]:
            values = [one[key] for one in packed]
            batch[key] = [list(view) for view in zip(*values)] if has_views else values
        model: Any = self.model
        return list(model.test_step(batch))

    def _packed(self, pixels: 'np.ndarray | TiffWindows', path: str | None) -> dict[str, Any]:
        """What the pipeline makes of an image: ``inputs`` and ``data_samples``."""
        pixels = np.ascontiguousarray(pixels, dtype=pixels.dtype.newbyteorder('='))
        size = pixels.shape[:2]
        return self._pipeline(
            {
                'img': pixels,
                'img_path': path,
                'img_shape': size,
                'ori_shape': size,
                'seg_fields': [],
                'flip_pairs': self.flip_pairs,
            }
        )


@dataclass(frozen=True)
class _Read:
    """An image that is being read.

    Attributes:
        image: as :meth:`Segmenter.segment` takes it.
        path: of its file or video.
        frame: its number in a video.
        is_bgr: its first channels are blue, green, red.
    """

    image: 'Future[Any]'
    path: str | None = None
    frame: int | None = None
    is_bgr: bool = True

    def fits(self, other: '_Read') -> bool:
        """Whether both can be predicted in one pass."""
        one, two = self.image.result(), other.image.result()
        return (one.shape, one.dtype, self.is_bgr) == (two.shape, two.dtype, other.is_bgr)


def _is_there(one: _Read) -> bool:
    """Whether it needs no reading: images in memory and frames wait for no others."""
    return one.frame is not None or one.path is None


def _found_in(sample: SegDataSample) -> tuple[np.ndarray, Callable[[], Tensor] | None]:
    """Class ids (H, W) of a prediction, and what gives its logits, where it has them."""
    labels = sample.pred_sem_seg.data[0].cpu().numpy()
    if 'seg_logits' not in sample:
        return labels, None
    return labels, partial(getattr, sample.seg_logits, 'data')


def _split(
    pipeline: Sequence[Mapping[str, Any]], *, ignore_exif: bool
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The step that loads an image, and those that follow, without labels.

    Raises:
        ConfigError: no step loads an image.
    """
    steps = [dict(step) for step in without_labels(pipeline)]
    loading = next((step for step in steps if loads_sample(step)), None)
    if loading is None:
        raise ConfigError('the test pipeline of the model loads no image: it cannot predict files')
    steps.remove(loading)
    if ignore_exif and loading.get('color_type', 'color') in ('color', 'grayscale'):
        loading['color_type'] = f'{loading.get("color_type", "color")}_ignore_orientation'
    return loading, steps


def resizes(steps: Iterable[Any]) -> bool:
    """Whether a pipeline gives the network an image of another size than the file's."""
    return any(
        is_step(step, *_RESIZING)
        or (is_step(step, MultiScaleViews) and step.get('scale') is not None)
        for step in steps
    )
