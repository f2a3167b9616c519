"""Images of a page as script files: a page opened from disk may read pixels only that way.

Browsers forbid a page without a server to read files, and to read pixels of image files. A script
file may be loaded when it is needed, however, and the image in it (JPEG as data URL) and the class
ids (zlib, base64) belong to the page.
"""

import base64
import dataclasses
import json
import math
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from openseg_plugin.errors import DataError
from openseg_plugin.report.drawing import (
    draw_errors,
    error_kinds,
    ignored_prediction,
    is_wrong,
    shrunk_positions,
)
from openseg_plugin.utils.images import read_label
from openseg_plugin.utils.pool import in_threads, usable_cores

_QUALITY, _THUMB_QUALITY = 82, 72  # of JPEG
_THUMB = 176  # pixels of width of each half
_LARGEST = 2048  # pixels of the longer side
_SMALLEST = 96  # below it an image shows nothing
_TINY = 256  # below it little can be seen
# Bytes that a pixel takes at first guess: JPEG and class ids, base64.
_BYTES_PER_PIXEL = 0.36


@dataclass(frozen=True)
class SampleFiles:
    """What one image is drawn from; None for a file that is not known.

    Attributes:
        number: names the files that are written.
        image: image file.
        label: class ids of the ground truth.
        predictions: class ids of every run.
        size: (H, W).
    """

    number: int
    image: Path | None
    label: Path | None
    predictions: tuple[Path | None, ...]
    size: tuple[int, int]


@dataclass(frozen=True)
class Sample:
    """One encoded image.

    Attributes:
        script: call of ``openseg.sample``.
        thumb: JPEG, the image beside the errors of the last run.
        problems: files that could not be read, with the reason.
        is_tiny: drawn smaller than it is, and smaller than 256 pixels.
    """

    script: bytes
    thumb: bytes
    problems: tuple[str, ...]
    is_tiny: bool

    def __len__(self) -> int:
        return len(self.script) + len(self.thumb)


def write_samples(
    folder: Path,
    files: Sequence[SampleFiles],
    frequency: np.ndarray,
    *,
    ignore_index: int,
    max_bytes: int,
) -> list[str]:
    """Writes ``samples/N.js`` and ``thumbs/N.jpg``; returns sentences about unreadable files."""
    for name in ('samples', 'thumbs'):
        (folder / name).mkdir(parents=True, exist_ok=True)
        for old in (folder / name).iterdir():
            if old.stem.isdigit():
                old.unlink()
    allowance = max(max_bytes, 0) // max(len(files), 1)

    def write(place: int) -> tuple[int, Sample]:
        one = files[place]
        sample = encode_sample(one, frequency, ignore_index=ignore_index, allowance=allowance)
        (folder / 'samples' / f'{one.number}.js').write_bytes(sample.script)
        (folder / 'thumbs' / f'{one.number}.jpg').write_bytes(sample.thumb)
        return place, dataclasses.replace(sample, script=b'', thumb=b'')

    problems = missing_files(files)
    tiny = 0
    # threads: decoding, resizing and packing release the interpreter's lock
    samples = dict(in_threads(write, range(len(files)), workers=min(usable_cores(), 16)))
    for place in range(len(files)):
        problems += samples[place].problems
        tiny += samples[place].is_tiny
    if tiny:
        problems.append(
            f'{tiny} of {len(files)} images: drawn smaller than 256 pixels, as the folder has '
            f'{allowance / 1000:.0f} kB left for each: give "openseg report" a larger --max-mb, or '
            'fewer --report-images'
        )
    return problems


def missing_files(files: Sequence[SampleFiles]) -> list[str]:
    """A sentence each about the images, label maps and predictions that are gone."""
    sentences = []
    for what, paths in (
        ('images', [one.image for one in files]),
        ('label maps', [one.label for one in files]),
        ('predictions', [path for one in files for path in one.predictions]),
    ):
        known = [path for path in paths if path is not None]
        gone = [path for path in known if not path.is_file()]
        if gone:
            verb = 'is' if len(gone) == 1 else 'are'
            sentences.append(
                f'{len(gone)} of {len(known)} {what} {verb} missing, such as {gone[0]}'
            )
    return sentences


def encode_sample(
    files: SampleFiles,
    frequency: np.ndarray,
    *,
    ignore_index: int,
    allowance: int,
) -> Sample:
    """One image with its maps, as large as ``allowance`` bytes permit.

    Args:
        files: what to draw; what is missing is left out, what cannot be read is reported, too.
        frequency: (K,) of the classes, see :func:`openseg_plugin.report.drawing.error_kinds`.
        ignore_index: label value without a class.
        allowance: bytes of script and thumbnail together; exceeded only by an image that is
            too small to be shown smaller.
    """
    problems: list[str] = []
    image = _read_image(files.image, files.size, problems)
    label = _read_map(files.label, files.size, problems)
    predictions = [_read_map(path, files.size, problems) for path in files.predictions]
    kinds = [
        None
        if label is None or one is None
        else error_kinds(label, one, frequency, ignore_index=ignore_index)
        for one in predictions
    ]
    wide = len(frequency) > 254
    truth = _storable(label, len(frequency), ignore_index, wide)
    left_out = ignored_prediction(ignore_index, len(frequency))
    maps = [_storable(one, len(frequency), left_out, wide) for one in predictions]
    content = _Content(
        image,
        truth,
        maps,
        kinds,
        files.size,
        2 if wide else 1,
        'no image' if files.image is None else 'image file missing or changed',
        _wrong_pixels(label, predictions, kinds, len(frequency)),
    )
    thumb = _thumbnail(image, kinds[-1] if kinds else None, files.size)
    height, width = files.size
    pixels = max(allowance - len(thumb), 1) / _BYTES_PER_PIXEL
    least = min(1.0, _SMALLEST / max(height, width))
    factor = min(1.0, _LARGEST / max(height, width), math.sqrt(pixels / (height * width)))
    factor = max(factor, least)
    while True:
        script = content.script(files.number, factor)
        left = allowance - len(thumb)
        if len(script) <= left or factor == least:
            is_tiny = factor < 1 and factor * max(height, width) < _TINY
            return Sample(script, thumb, tuple(problems), is_tiny)
        factor *= min(0.95, max(0.5, 0.97 * math.sqrt(max(left, 1) / len(script))))
        factor = max(factor, least)


@dataclass(frozen=True)
class _Content:
    """What the script of an image holds at any size.

    Attributes:
        image: (H, W, 3), or None.
        label: (H, W) class ids as they are stored, or None.
        predictions: the same of every run.
        kinds: (H, W) kinds of errors of every run.
        size: (H, W).
        bytes_per_id: 1 or 2.
        no_image: text in place of an image.
        wrong: (n,) flat positions of wrong pixels, the rarest confusions last.
    """

    image: np.ndarray | None
    label: np.ndarray | None
    predictions: list[np.ndarray | None]
    kinds: list[np.ndarray | None]
    size: tuple[int, int]
    bytes_per_id: int
    no_image: str
    wrong: np.ndarray

    def script(self, number: int, factor: float) -> bytes:
        """Everything at a size that is ``factor`` of the original one."""
        height, width = (max(round(factor * side), 1) for side in self.size)
        size = (width, height)
        image = self.image
        if image is not None and factor < 1:
            image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
        chosen = shrunk_positions(self.size, (height, width), self.wrong)
        record = {
            'width': width,
            'height': height,
            'bytes': self.bytes_per_id,
            'image': None if image is None else 'data:image/jpeg;base64,' + _jpeg(image),
            'noImage': self.no_image,
            'label': _packed(self.label, chosen),
            'predictions': [_packed(one, chosen) for one in self.predictions],
            'kinds': [_packed(one, chosen) for one in self.kinds],
        }
        return f'openseg.sample({number},{json.dumps(record, separators=(",", ":"))});\n'.encode()


def _wrong_pixels(
    label: np.ndarray | None,
    predictions: Sequence[np.ndarray | None],
    kinds: Sequence[np.ndarray | None],
    num_classes: int,
) -> np.ndarray:
    """(n,) flat positions of the pixels that any run has wrong, the rarest confusions last."""
    positions, frequency = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
    for one, codes in zip(predictions, kinds):
        if label is None or one is None or codes is None:
            continue
        found = np.flatnonzero(is_wrong(codes))
        predicted = one.reshape(-1)[found].astype(np.int64)
        predicted[(predicted < 0) | (predicted >= num_classes)] = num_classes
        cells = label.reshape(-1)[found].astype(np.int64) * (num_classes + 1) + predicted
        positions.append(found)
        frequency.append(np.bincount(cells)[cells])
    return np.concatenate(positions)[np.argsort(-np.concatenate(frequency), kind='stable')]


def _jpeg(image: np.ndarray) -> str:
    content = cv2.imencode('.jpg', image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])[1]
    return base64.b64encode(content.tobytes()).decode()


def _packed(values: np.ndarray | None, chosen: np.ndarray) -> str | None:
    if values is None:
        return None
    small = values.reshape(-1)[chosen]
    small = small.astype(small.dtype.newbyteorder('<'))
    return base64.b64encode(zlib.compress(small.tobytes(), 6)).decode()


def _storable(
    ids: np.ndarray | None, num_classes: int, ignore_index: int, wide: bool
) -> np.ndarray | None:
    """Ids with the largest value for ignored pixels and the one below for no class."""
    if ids is None:
        return None
    dtype = np.uint16 if wide else np.uint8
    ignored = np.iinfo(dtype).max
    known = (ids >= 0) & (ids < num_classes)
    stored = ids.astype(dtype)
    stored[~known] = ignored - 1
    stored[ids == ignore_index] = ignored
    return stored


def _read_map(path: Path | None, size: tuple[int, int], problems: list[str]) -> np.ndarray | None:
    if path is None or not path.is_file():
        return None
    try:
        ids = read_label(path)
    except DataError as error:
        problems.append(str(error))
        return None
    if ids.shape != size:
        problems.append(f'{path} is now {ids.shape}, it was tested at {size} (rows, columns)')
        return None
    return ids


def _read_image(path: Path | None, size: tuple[int, int], problems: list[str]) -> np.ndarray | None:
    """RGB of an image file; stored or upright orientation, whichever has the size of the labels."""
    if path is None or not path.is_file():
        return None
    shape: tuple[int, ...] = ()
    for flags in (cv2.IMREAD_COLOR, cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION):
        image = cv2.imread(str(path), flags)
        if image is None:
            problems.append(f'image {path} cannot be read')
            return None
        shape = image.shape[:2]
        if shape == size:
            return np.ascontiguousarray(image[..., ::-1])
    problems.append(f'image {path} is now {shape}, it was tested at {size} (rows, columns)')
    return None


def _thumbnail(image: np.ndarray | None, kinds: np.ndarray | None, size: tuple[int, int]) -> bytes:
    """Image beside errors, both 176 pixels wide."""
    small = (_THUMB, max(round(_THUMB * size[0] / size[1]), 1))
    blank = np.full((small[1], small[0], 3), 90, np.uint8)
    left = blank if image is None else cv2.resize(image, small, interpolation=cv2.INTER_AREA)
    parts = [left]
    if kinds is not None:
        coarse = cv2.resize(kinds, small, interpolation=cv2.INTER_NEAREST)
        parts += [np.full((small[1], 2, 3), 255, np.uint8), draw_errors(left, coarse)]
    strip = np.concatenate(parts, axis=1)[..., ::-1]
    return cv2.imencode('.jpg', strip, [cv2.IMWRITE_JPEG_QUALITY, _THUMB_QUALITY])[1].tobytes()
