"""Files of a prediction: what each kind of result is called and holds.

========================  ==========================================================
kind                      file below the output folder
========================  ==========================================================
labels                    ``NAME.png``: class ids with the palette
overlay, colored          ``overlay/NAME.jpg``, ``colored/NAME.png``
probabilities             ``probabilities/NAME.npz``: (K, H, W) float16 and the classes
confidence                ``confidence/NAME.png``: 0 to 255 for 0 to 1
polygons                  ``polygons/NAME.json``: labelme or COCO, one file per image; and
                          ``polygons/class_names.txt``, which keeps the ids when converted back
tiff                      ``tiff/NAME.tif``: class ids with the palette
geotiff                   ``geotiff/NAME.tif``: class ids where the image lies on the ground
========================  ==========================================================

Both TIFFs are written tile by tile, so that they cost no memory beside the labels, and need the
extra ``[geo]``. GeoTIFFs carry the georeference of their image (rasterio).
"""

import importlib
import io
import os
from collections import deque
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from PIL import Image

from openseg_plugin.errors import DataError, DependencyError
from openseg_plugin.inference.polygons import (
    as_text,
    coco_file,
    labelme,
    relative_image,
)
from openseg_plugin.inference.segmentation import Segmentation
from openseg_plugin.inference.segmenter import Segmenter
from openseg_plugin.inference.sources import Source, as_bytes
from openseg_plugin.inference.video import VideoWriter, frames_of, rate_and_length, read_ahead
from openseg_plugin.utils.files import target_errors
from openseg_plugin.utils.progress import Progress

_TILE = 256  # pixels: side of the tiles of a TIFF
_WAITING = 4  # frames that wait to be written
_LARGEST_TIFF = 2**32 - 2**25  # bytes that an ordinary TIFF holds


def require_packages(kinds: Collection[str]) -> None:
    """Makes sure that what writes these kinds is installed.

    Raises:
        DependencyError: it is not.
    """
    for kind, package in (('tiff', 'tifffile'), ('geotiff', 'rasterio')):
        if kind in kinds:
            _package(package, kind)


def _package(name: str, kind: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise DependencyError(
            f'--save {kind} needs the package {name}, which is not installed: pip install '
            'openseg_plugin[geo]'
        ) from error


def write_tiff(path: Path, labels: np.ndarray, palette: np.ndarray) -> None:
    """A tiled, compressed TIFF of class ids.

    Args:
        path: file to write.
        labels: (H, W) uint8 or uint16.
        palette: (K, 3) uint8; in the file where the labels are uint8.

    Raises:
        DependencyError: tifffile is not installed.
    """
    tifffile = _package('tifffile', 'tiff')
    options: dict[str, Any] = dict(photometric='minisblack')
    if labels.dtype == np.uint8:
        colors = np.zeros((3, 256), np.uint16)
        colors[:, : len(palette)] = palette[:256].T.astype(np.uint16) * 257
        options = dict(photometric='palette', colormap=colors)
    height, width = labels.shape

    def tiles() -> Iterator[np.ndarray]:
        for top in range(0, height, _TILE):
            for left in range(0, width, _TILE):
                yield labels[top : top + _TILE, left : left + _TILE]

    tifffile.imwrite(
        path,
        tiles(),
        shape=labels.shape,
        dtype=labels.dtype,
        tile=(_TILE, _TILE),
        compression='zlib',
        bigtiff=labels.nbytes > _LARGEST_TIFF,
        metadata=None,
        **options,
    )


def write_geotiff(path: Path, labels: np.ndarray, palette: np.ndarray, image: str | None) -> None:
    """A tiled, compressed GeoTIFF of class ids where the image lies on the ground.

    Args:
        path: file to write.
        labels: (H, W) uint8 or uint16.
        palette: (K, 3) uint8; in the file where the labels are uint8.
        image: path of the image, whose coordinate system and transform are taken over.

    Raises:
        DataError: the image cannot be opened, or has another size than the labels.
        DependencyError: rasterio is not installed.
    """
    rasterio = _package('rasterio', 'geotiff')
    try:
        with rasterio.open(image) as source:
            place = dict(crs=source.crs, transform=source.transform)
            size = (source.height, source.width)
    except (rasterio.errors.RasterioError, TypeError) as error:
        raise DataError(f'{image} has no georeference that can be read ({error})') from error
    if size != labels.shape:
        raise DataError(
            f'{image} is stored with {size[0]}x{size[1]} pixels and its labels have '
            f'{labels.shape[0]}x{labels.shape[1]}: use --ignore-exif'
        )
    height, width = size
    profile = dict(driver='GTiff', count=1, dtype=labels.dtype.name, compress='deflate', **place)
    profile.update(tiled=True, blockxsize=_TILE, blockysize=_TILE, bigtiff='if_safer')
    with rasterio.open(path, 'w', height=height, width=width, **profile) as target:
        if labels.dtype == np.uint8:
            colors = {k: (*map(int, color), 255) for k, color in enumerate(palette[:256])}
            target.write_colormap(1, colors)
        for top in range(0, height, _TILE):
            rows = labels[top : top + _TILE]
            target.write(rows, 1, window=rasterio.windows.Window(0, top, width, len(rows)))


_ENDINGS = {
    'labels': '.png',
    'overlay': '.jpg',
    'colored': '.png',
    'probabilities': '.npz',
    'confidence': '.png',
    'polygons': '.json',
    'tiff': '.tif',
    'geotiff': '.tif',
}
_OF_VIDEOS = {'overlay': '.mp4', 'unfinished overlay': '.part.mp4'}


@dataclass(frozen=True)
class Options:
    """What is written.

    Attributes:
        kinds: keys of the table above.
        alpha: how much of the colors is seen in an overlay, 0 to 1.
        tolerance: of polygons, in pixels.
        polygon_format: 'labelme' or 'coco'.
        every: frames of a video between predictions; those between repeat the last labels.
        side_by_side: videos show the frame beside its overlay.
    """

    kinds: Sequence[str] = ('labels',)
    alpha: float = 0.5
    tolerance: float = 1.0
    polygon_format: str = 'labelme'
    every: int = 1
    side_by_side: bool = False

    def files(self, name: str) -> dict[str, PurePosixPath]:
        """Kind -> file of the results of an image of this name."""
        return {
            kind: PurePosixPath('' if kind == 'labels' else kind) / f'{name}{_ENDINGS[kind]}'
            for kind in self.kinds
        }

    def content(self, seg: Segmentation, kind: str, file: Path) -> bytes | Callable[[Path], None]:
        """Bytes of one result, or what writes them to a path.

        Args:
            seg: the prediction.
            kind: key of the table above.
            file: where it will lie; polygons say where their image is from there.
        """
        if kind == 'labels':
            return label_png(seg.labels, seg.palette)
        if kind == 'overlay':
            return as_bytes(seg.overlay(self.alpha), '.jpg')
        if kind == 'colored':
            return as_bytes(seg.colored())
        if kind == 'probabilities':
            content = io.BytesIO()
            probabilities = seg.probabilities().astype(np.float16)
            np.savez_compressed(content, probabilities=probabilities, classes=seg.classes)
            return content.getvalue()
        if kind == 'confidence':
            return _png((seg.confidence() * 255).round().astype(np.uint8))
        if kind == 'tiff':
            return partial(write_tiff, labels=seg.labels, palette=seg.palette)
        if kind == 'geotiff':
            return partial(write_geotiff, labels=seg.labels, palette=seg.palette, image=seg.path)
        return self._polygons(seg, file).encode()

    def _polygons(self, seg: Segmentation, file: Path) -> str:
        shapes = seg.polygons(self.tolerance, around_pixels=self.polygon_format == 'coco')
        height, width = seg.labels.shape
        image = relative_image(seg.path, file) if seg.path else ''
        if self.polygon_format == 'coco':
            return as_text(coco_file([(image, (height, width), shapes)], seg.classes))
        return as_text(labelme(shapes, seg.classes, image_name=image, size=(height, width)))


def refuse_clashes(
    sources: Sequence[Source], options: Options, out: Path, *, labels_of_frames: bool
) -> None:
    """Makes sure that no result would be written over a source or another result.

    Args:
        sources: all that are predicted.
        options: what is written.
        out: folder of the results.
        labels_of_frames: also the labels of every frame of videos.

    Raises:
        DataError: it would, or lie among the labels of a video's frames.
    """
    given = {os.path.realpath(source.path) for source in sources if os.path.exists(source.path)}
    taken: dict[PurePosixPath, str] = {}  # result -> what it is of what
    frames: dict[PurePosixPath, str] = {}  # folder -> video
    for source in sources:
        files = options.files(source.name)
        if source.kind in ('video', 'camera'):
            files = {what: PurePosixPath(f'{source.name}{end}') for what, end in _OF_VIDEOS.items()}
            if labels_of_frames:
                frames[PurePosixPath(source.name)] = source.path
        for what, file in files.items():
            if os.path.realpath(out / file) in given:
                raise DataError(
                    f'the result {out / file} would take the place of an image or video that is '
                    'predicted: give another folder as --out'
                )
            one = f'{what} of {source.path}'
            if (other := taken.setdefault(file, one)) != one:
                raise DataError(
                    f'{other} and {one} would both be written as {out / file}: give fewer kinds as '
                    '--save, or predict one of the two into another folder'
                )
    for file, one in taken.items() if frames else ():
        for folder in {file, *file.parents} & frames.keys():
            raise DataError(
                f'{one} would be written as {out / file}, where the labels of the frames of '
                f'{frames[folder]} go: leave labels out of --save, or predict one of the two into '
                'another folder'
            )


def class_list(classes: Sequence[str]) -> tuple[PurePosixPath, bytes]:
    """File with the names of the classes beside their polygons, and its content.

    Its first line says that 0 is the first class, and no background that the model does not know.
    """
    return PurePosixPath('polygons/class_names.txt'), '\n'.join(
        ('__ignore__', *classes, '')
    ).encode()


def label_png(labels: np.ndarray, palette: np.ndarray) -> bytes:
    """Class ids (H, W) as a PNG, with the palette where they are uint8."""
    image = Image.fromarray(labels)
    if labels.dtype == np.uint8:
        colors = np.zeros((256, 3), np.uint8)
        colors[: len(palette)] = palette[:256]
        image.putpalette(colors.tobytes())
    content = io.BytesIO()
    image.save(content, format='PNG', compress_level=4)
    return content.getvalue()


def _png(image: np.ndarray) -> bytes:
    content = io.BytesIO()
    Image.fromarray(image).save(content, format='PNG')
    return content.getvalue()


def predict_video(
    segmenter: Segmenter, source: Source, folder: Path, options: Options, *, labels: bool
) -> int:
    """Writes ``NAME.mp4``, and ``NAME/000000.png`` on request; the number of frames.

    While it is written it is called ``NAME.part.mp4`` and can be played; so it is called, too, when
    it was interrupted.

    Args:
        segmenter: what predicts.
        source: a video or camera.
        folder: of the results.
        options: what is written.
        labels: also write the labels of every frame.

    Raises:
        DataError: the video cannot be read, or a result not be written.
        DependencyError: PyAV is missing.
    """
    rate, length = (Fraction(25), 0)
    if source.kind == 'video':
        rate, length = rate_and_length(source.path)
    target, part = (folder / f'{source.name}{ending}' for ending in _OF_VIDEOS.values())
    target.parent.mkdir(parents=True, exist_ok=True)
    number, seg = 0, None
    with (
        target_errors(part),
        Progress(source.path, total=length, show=length > 0) as progress,
        VideoWriter(part, rate) as writer,
        ThreadPoolExecutor(1) as pool,
    ):

        def write(frame: np.ndarray, seg: Segmentation, number: int) -> None:
            drawn = seg.overlay(options.alpha)
            writer.write(np.concatenate([frame, drawn], axis=1) if options.side_by_side else drawn)
            if labels:
                place = folder / source.name / f'{number:06}.png'
                place.parent.mkdir(parents=True, exist_ok=True)
                place.write_bytes(label_png(seg.labels, seg.palette))
            progress.step()

        waiting: deque[Future[None]] = deque()
        frames = frames_of(source.path, as_stored=segmenter.ignore_exif)
        for number, frame in enumerate(read_ahead(frames), start=1):
            if seg is None or (number - 1) % options.every == 0:
                seg = segmenter.predict(frame, path=source.path, frame=number - 1)
            else:
                seg = seg.on(frame, frame=number - 1)
            waiting.append(pool.submit(write, frame, seg, number - 1))
            while len(waiting) > _WAITING:
                waiting.popleft().result()
        for future in waiting:
            future.result()
    if not number:
        part.unlink(missing_ok=True)
        raise DataError(f'video {source.path} holds no frame: replace it by an intact copy')
    part.touch()  # newer than all labels, which says that none is missing
    part.replace(target)
    return number
