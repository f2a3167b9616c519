"""What a converted dataset is like: classes, counts, sizes, channels."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from openseg_plugin.errors import DataError
from openseg_plugin.utils.files import parse_json

SUMMARY = 'dataset.json'
SAMPLED = 40  # images whose size and values are looked at


@dataclass(frozen=True)
class Fingerprint:
    """Facts of a folder that ``convert-dataset`` made.

    Attributes:
        root: the folder.
        classes: names in label order.
        palette: (red, green, blue) of each class.
        flip_pairs: labels that change places when an image is flipped.
        images: number of samples of each split.
        pixels: of each class in the train split.
        size: median (H, W) of the sampled images.
        channels: of the images.
        mean: of each channel of the sampled images, as stored; std likewise.
        is_rgb8: whether all sampled images are 8-bit with three channels.
    """

    root: Path
    classes: tuple[str, ...]
    palette: tuple[tuple[int, int, int], ...]
    flip_pairs: tuple[tuple[int, int], ...]
    images: Mapping[str, int]
    pixels: tuple[int, ...]
    size: tuple[int, int]
    channels: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    is_rgb8: bool

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
    classes = tuple(map(str, summary['classes']))
    counts = splits['train'].get('pixels', {})
    shift = 1 if summary.get('reduce_zero_label') else 0
    files = sorted((root / 'train' / 'image').rglob('*'))
    files = [path for path in files if path.is_file()]
    images = [_pixels(path) for path in files[:: max(1, len(files) // SAMPLED)][:SAMPLED]]
    if not images:
        raise DataError(f'{root}/train/image holds no images: convert again')
    channels = {image.shape[2] for image in images}
    if len(channels) > 1:
        raise DataError(
            f'{root}/train/image mixes images of {sorted(channels)} channels: convert them to one '
            'kind first'
        )
    values = np.concatenate([image.reshape(-1, image.shape[2])[::17] for image in images])
    height, width = (int(np.median([image.shape[axis] for image in images])) for axis in (0, 1))
    return Fingerprint(
        root=root,
        classes=classes,
        palette=tuple((int(r), int(g), int(b)) for r, g, b in summary.get('palette') or ()),
        flip_pairs=tuple((int(a), int(b)) for a, b in summary.get('flip_pairs') or ()),
        images={split: int(found.get('samples', 0)) for split, found in splits.items()},
        pixels=tuple(int(counts.get(str(k + shift), 0)) for k in range(len(classes))),
        size=(height, width),
        channels=channels.pop(),
        mean=tuple(round(float(x), 3) for x in values.mean(axis=0)),
        std=tuple(round(max(float(x), 1e-3), 3) for x in values.std(axis=0)),
        is_rgb8=all(image.dtype == np.uint8 and image.shape[2] == 3 for image in images),
    )


def _summary(root: Path) -> dict[str, Any]:
    path = root / SUMMARY
    try:
        summary = parse_json(path.read_text(encoding='utf-8'))
        if not summary['classes'] or 'converter' not in summary:
            raise ValueError('no classes')
    except FileNotFoundError as error:
        raise DataError(
            f'{root} has no {SUMMARY}: make it with "openseg convert-dataset" first'
        ) from error
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f'{path} was not written by convert-dataset ({error})') from error
    return summary


def _pixels(path: Path) -> np.ndarray:
    """(H, W, C) of one image file."""
    try:
        with Image.open(path) as image:
            if image.mode in ('P', 'RGBA', 'CMYK', 'YCbCr'):
                pixels = np.asarray(image.convert('RGB'))
            else:
                pixels = np.asarray(image)
    except (OSError, ValueError) as error:
        raise DataError(f'{path} cannot be read ({error}): remove it or save it again') from error
    return pixels if pixels.ndim == 3 else pixels[:, :, None]
