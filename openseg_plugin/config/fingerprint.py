"""What a converted dataset is like: classes, counts, sizes, channels."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image, UnidentifiedImageError

from openseg_plugin.errors import DataError
from openseg_plugin.utils.files import parse_json
from openseg_plugin.utils.images import BROKEN_TIFF, import_tifffile, is_tiff

SUMMARY = 'dataset.json'
SAMPLED = 40  # images whose size and values are looked at
_OTHER_SIDE = {'left': 'right', 'right': 'left', 'l': 'r', 'r': 'l'}
# a word, or a letter in front: "left hand", "hand_right", "l-arm"
_SIDE = re.compile(r'(?<![^\W_])(left|right)(?![^\W_])|^([lr])(?=[ _.-])')
# of 8-bit TIFFs that OpenCV turns into three colors
_COLORS = ('1', 'L', 'LA', 'P', 'PA', 'RGB', 'RGBA', 'CMYK', 'YCbCr')
_BITS_PER_SAMPLE = 258  # tag of a TIFF


@dataclass(frozen=True)
class Fingerprint:
    """Facts of a folder that ``convert-dataset`` made.

    Attributes:
        root: the folder.
        classes: names in label order.
        has_names: they are those of the folder; else its labels are numbered.
        reduce_zero_label: label 0 is ignored and label k is class k - 1.
        palette: (red, green, blue) of each class.
        flip_pairs: labels that change places when an image is flipped.
        flip_reason: where that is known from.
        images: number of samples of each split.
        pixels: of each class in the train split.
        ignored: fraction of the pixels there that have no class.
        size: median (H, W) of the sampled images.
        channels: of the images.
        mean: of each channel of the sampled images, of three channels R, G, B; std likewise.
        backend: ``imdecode_backend`` that reads the channels as they are stored, 'cv2' or
            'tifffile'; None: the images have 8 bits and are read as three colors.
    """

    root: Path
    classes: tuple[str, ...]
    has_names: bool
    reduce_zero_label: bool
    palette: tuple[tuple[int, int, int], ...]
    flip_pairs: tuple[tuple[int, int], ...]
    flip_reason: str
    images: Mapping[str, int]
    pixels: tuple[int, ...]
    ignored: float
    size: tuple[int, int]
    channels: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    backend: str | None

    @property
    def imbalance(self) -> float:
        """How many times more pixels the most frequent class has than the rarest that occurs."""
        present = [count for count in self.pixels if count]
        return max(present) / min(present) if present else 1.0


def read_fingerprint(root: Path) -> Fingerprint:
    """Facts of a converted folder.

    Raises:
        DataError: the folder was not made by ``convert-dataset``, has no train or val images, or
            its images cannot be read.
    """
    summary = _summary(root)
    splits = summary.get('splits', {})
    for split in ('train', 'val'):
        if not splits.get(split, {}).get('samples'):
            raise DataError(
                f'{root} has no {split} images: convert again, with --val-fraction where the '
                'source has no split of its own'
            )
    classes = tuple(map(str, summary['classes'])) or _numbered(splits, root)
    flip_pairs, flip_reason = summary.get('flip_pairs') or (), 'the converter says so'
    if not flip_pairs:
        flip_pairs, flip_reason = side_pairs(classes), 'their names differ in the side alone'
    counts = splits['train'].get('pixels', {})
    shift = 1 if summary.get('reduce_zero_label') else 0
    pixels = tuple(int(counts.get(str(k + shift), 0)) for k in range(len(classes)))
    files = sorted((root / 'train' / 'image').rglob('*'))
    files = [path for path in files if path.is_file()]
    read = [_pixels(path) for path in files[:: max(1, len(files) // SAMPLED)][:SAMPLED]]
    if not read:
        raise DataError(f'{root}/train/image holds no images: convert again')
    images, backend = [image for image, _ in read], read[0][1]
    kinds = {
        f'{image.shape[2]} channels of {image.dtype}' + f' ({by})' * bool(by) for image, by in read
    }
    if len(kinds) > 1:
        raise DataError(
            f'{root}/train/image mixes images of {" and ".join(sorted(kinds))}: convert them to '
            'one kind first'
        )
    values = np.concatenate([image.reshape(-1, image.shape[2])[::17] for image in images])
    height, width = (int(np.median([image.shape[axis] for image in images])) for axis in (0, 1))
    return Fingerprint(
        root=root,
        classes=classes,
        has_names=bool(summary['classes']),
        reduce_zero_label=bool(shift),
        palette=tuple((int(r), int(g), int(b)) for r, g, b in summary.get('palette') or ()),
        flip_pairs=tuple((int(a), int(b)) for a, b in flip_pairs),
        flip_reason=flip_reason,
        images={split: int(found.get('samples', 0)) for split, found in splits.items()},
        pixels=pixels,
        ignored=1 - sum(pixels) / max(sum(map(int, counts.values())), 1) if counts else 0.0,
        size=(height, width),
        channels=images[0].shape[2],
        mean=tuple(round(float(x), 3) for x in values.mean(axis=0)),
        std=tuple(round(max(float(x), 1e-3), 3) for x in values.std(axis=0)),
        backend=backend,
    )


def side_pairs(classes: Sequence[str]) -> list[tuple[int, int]]:
    """Labels whose names are equal once left and right are swapped, the lower one first.

    Words count whole, in any case; ``l`` and ``r`` only in front, as in ``l_arm``. A name that
    stands for several classes pairs with none.

    Args:
        classes: names in label order.
    """
    names = [name.casefold() for name in classes]
    pairs = []
    for label, name in enumerate(names):
        other = _SIDE.sub(lambda found: _OTHER_SIDE[found[0]], name)
        if other != name and names.count(name) == names.count(other) == 1:
            pairs.append((label, names.index(other)))
    return [(a, b) for a, b in pairs if a < b]


def _numbered(splits: Mapping[str, Any], root: Path) -> tuple[str, ...]:
    """Names by the values of labels, where a converter was told none.

    Raises:
        DataError: the values are not 0, 1, ... without a gap, so they may be anything.
    """
    values = {int(value) for one in splits.values() for value in one.get('pixels', {})} - {255}
    if not values or max(values) >= len(values):
        shown = ', '.join(map(str, sorted(values)[:8])) + (', ...' if len(values) > 8 else '')
        raise DataError(
            f'{root} has no class names, and its labels hold the values {shown or 255}: convert '
            'again with --classes NAMES, or with --remap where values are left out'
        )
    return tuple(f'class_{value}' for value in range(len(values)))


def _summary(root: Path) -> dict[str, Any]:
    path = root / SUMMARY
    try:
        summary = parse_json(path.read_text(encoding='utf-8'))
        if not isinstance(summary['classes'], list) or 'converter' not in summary:
            raise ValueError('no list of classes, or no converter')
        _check(summary)
    except FileNotFoundError as error:
        raise DataError(
            f'{root} has no {SUMMARY}: make it with "openseg convert-dataset" first'
        ) from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(
            f'{path} was not written by convert-dataset ({error}): convert the dataset again'
        ) from error
    return summary


def _check(summary: Mapping[str, Any]) -> None:
    """Takes apart what :func:`read_fingerprint` will.

    Raises:
        ValueError, TypeError, AttributeError: a part is of another kind.
    """
    for split in summary.get('splits', {}).values():
        int(split.get('samples', 0))
        counts = {int(value): int(pixels) for value, pixels in split.get('pixels', {}).items()}
        if any(value < 0 or pixels < 0 for value, pixels in counts.items()):
            raise ValueError('pixels below 0')
    for _r, _g, _b in summary.get('palette') or ():
        int(_r), int(_g), int(_b)
    for _one, _other in summary.get('flip_pairs') or ():
        int(_one), int(_other)


def _pixels(path: Path) -> tuple[np.ndarray, str | None]:
    """(H, W, C) as training reads an image file, three channels as R, G, B; ``backend`` for it.

    Raises:
        DataError: it cannot be read, or its bands lie one after another.
        DependencyError: it is a TIFF of other than 8-bit colors and tifffile is missing.
    """
    if is_tiff(str(path)) and not _is_color_tiff(path):
        return _bands(path), 'tifffile'
    try:
        content = np.frombuffer(path.read_bytes(), np.uint8)
        image = cv2.imdecode(content, cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH)
        backend: str | None = None
        if image is not None and image.dtype != np.uint8:
            image, backend = cv2.imdecode(content, cv2.IMREAD_UNCHANGED), 'cv2'
    except (OSError, cv2.error) as error:
        reason = ' '.join(str(error).split())
        raise DataError(f'{path} cannot be read ({reason}): remove it or save it again') from error
    if image is None:
        raise DataError(f'{path} cannot be read: remove it or save it again')
    image = image if image.ndim == 3 else image[:, :, None]
    return image[:, :, ::-1] if image.shape[2] == 3 else image, backend


def _is_color_tiff(path: Path) -> bool:
    """Whether a TIFF is one gray or color image of 8 bits."""
    try:
        with Image.open(path) as image:
            bits = getattr(image, 'tag_v2', {}).get(_BITS_PER_SAMPLE, (1,))
            pages = getattr(image, 'n_frames', 1)  # bands may be stored as pages
            return image.mode in _COLORS and max(bits) <= 8 and pages == 1
    except UnidentifiedImageError:  # bands that Pillow does not know
        return False
    except (OSError, ValueError, Image.DecompressionBombError) as error:
        raise DataError(f'{path} cannot be read ({error}): remove it or save it again') from error


def _bands(path: Path) -> np.ndarray:
    """(H, W, C) of a TIFF, as mmcv's backend tifffile reads it."""
    tifffile = import_tifffile(str(path))
    try:
        with tifffile.TiffFile(path) as file:
            image: np.ndarray = file.asarray()
            axes = file.series[0].axes
    except (*BROKEN_TIFF, tifffile.TiffFileError) as error:
        raise DataError(f'{path} cannot be read ({error}): remove it or save it again') from error
    image = image[:, :, None] if image.ndim == 2 else image
    if image.ndim != 3 or (axes.endswith('YX') and image.shape[0] < min(image.shape[1:])):
        raise DataError(
            f'{path} has the axes {axes} of {image.shape}: save its bands pixel by pixel '
            '(INTERLEAVE=PIXEL), as training reads rows, columns, bands'
        )
    return image
