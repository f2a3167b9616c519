"""Images that an exported file is compared and calibrated on.

Those of a folder, of the config's test set, or drawn ones; all (H, W, 3) uint8 RGB.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from openseg_plugin.converters.checkpoints.stored_config import from_data
from openseg_plugin.errors import DataError
from openseg_plugin.registry import DATASETS
from openseg_plugin.synth.scene import draw_scene
from openseg_plugin.utils.files import IMAGE_ENDINGS
from openseg_plugin.utils.images import read_label

CHECKED = 8  # images
CALIBRATED = 64
SMALLEST_CHECKED = 67  # pixels of a side, above what a file for any size takes


def images_to_check(
    check: str, config: Any, size: Sequence[int] | None
) -> tuple[list[np.ndarray], list[np.ndarray | None]]:
    """Images to compare on, and their true classes where there are some.

    Args:
        check: a folder, 'none', or 'auto': those of the config's test set, or drawn ones.
        config: of the model, as data.
        size: (H, W) that all are resized to; None: they stay as they are.

    Raises:
        DataError: the folder has no images, or one that cannot be read.
    """
    if check == 'none':
        return [], []
    if check != 'auto':
        return _folder_pairs(Path(check), size)
    found = _of_test_set(config, size)
    if found:
        return [image for image, _ in found], [labels for _, labels in found]
    height, width = size or (97, 161)
    # one larger than what is recorded, others of odd sides
    sizes = [(height, width)] if size else [(97, 161), (128, 256), (65, 70), (203, 307)]
    images = [draw_scene((0, index), size=one).image for index, one in enumerate(sizes)]
    return images, [None] * len(images)


def calibration_images(folder: Path, size: Sequence[int] | None) -> list[np.ndarray]:
    """Some images of a folder, whose values say the ranges of a file in 8 bits.

    Raises:
        DataError: the folder has no images, or one that cannot be read.
    """
    files = _image_files(_image_folder(folder), CALIBRATED)
    return [_at_size(_read(path), size) for path in files]


def at_other_sizes(image: np.ndarray) -> list[np.ndarray]:
    """An image with odd sides, one larger and one smaller: those of a test set may all be equal."""
    height, width = image.shape[:2]
    sizes = [(height * 5 // 4 | 1, width * 9 // 8 | 1), (height * 5 // 8 | 1, width * 3 // 4 | 1)]
    return [_at_size(image, [max(side, SMALLEST_CHECKED) for side in size]) for size in sizes]


def _of_test_set(
    config: Any, size: Sequence[int] | None
) -> list[tuple[np.ndarray, np.ndarray | None]]:
    """Images and labels from the config's test set, evenly spaced; none where it is not here."""
    try:
        dataset = DATASETS.build(from_data(config)['test_dataloader']['dataset'])
        chosen = np.linspace(0, len(dataset) - 1, min(CHECKED, len(dataset))).round().astype(int)
        found = []
        for index in chosen:
            sample = dataset[int(index)]['data_samples']
            with Image.open(sample.img_path) as opened:
                image = np.asarray(opened.convert('RGB'))
            labels = sample.gt_sem_seg.data[0].numpy() if 'gt_sem_seg' in sample else None
            fits = labels is not None and labels.shape == image.shape[:2]
            if size is not None:
                image, fits = _at_size(image, size), fits and image.shape[:2] == tuple(size)
            found.append((image, labels if fits else None))
    except Exception:  # whatever a dataset that is not here does
        return []
    return found


def _folder_pairs(
    folder: Path, size: Sequence[int] | None
) -> tuple[list[np.ndarray], list[np.ndarray | None]]:
    """Images of a folder, or of ``image`` in it with the labels of the same names in ``label``.

    That is how ``openseg convert-dataset`` lays out a split.
    """
    inside = _image_folder(folder)
    images, annotations = [], []
    for path in _image_files(inside, CHECKED):
        image = _read(path)
        annotation = None
        if inside != folder:
            name = path.relative_to(inside).with_suffix('.png')
            labels = read_label(folder / 'label' / name)
            if labels.shape != image.shape[:2]:
                raise DataError(
                    f'{folder / "label" / name} has {labels.shape[0]}x{labels.shape[1]} pixels and '
                    f'its image {image.shape[0]}x{image.shape[1]}: both must have one size'
                )
            nearest = Image.Resampling.NEAREST
            if size is not None:
                labels = np.asarray(Image.fromarray(labels).resize((size[1], size[0]), nearest))
            annotation = labels
        images.append(_at_size(image, size))
        annotations.append(annotation)
    return images, annotations


def _image_folder(folder: Path) -> Path:
    return folder / 'image' if (folder / 'label').is_dir() else folder


def _image_files(folder: Path, most: int) -> list[Path]:
    """At most so many, evenly spaced over what may be sorted by town.

    Raises:
        DataError: there are none.
    """
    if not folder.is_dir():
        raise DataError(f'{folder} is no folder: give one with images')
    files = [path for path in sorted(folder.rglob('*')) if path.suffix.lower() in IMAGE_ENDINGS]
    if not files:
        raise DataError(f'{folder} has no images ({", ".join(IMAGE_ENDINGS)})')
    count = min(most, len(files))
    return [files[index * (len(files) - 1) // max(count - 1, 1)] for index in range(count)]


def _read(path: Path) -> np.ndarray:
    """(H, W, 3) uint8.

    Raises:
        DataError: it cannot be decoded, or has more than 8 bits.
    """
    try:
        with Image.open(path) as opened:
            if opened.mode.startswith(('I', 'F')):  # PIL would cut the values off at 255
                raise DataError(f'{path} has more than 8 bits a channel: give images of 8 bits')
            return np.asarray(opened.convert('RGB'))
    except OSError as error:
        raise DataError(f'image {path} cannot be decoded ({error}): replace it') from error


def _at_size(image: np.ndarray, size: Sequence[int] | None) -> np.ndarray:
    if size is None or image.shape[:2] == tuple(size):
        return image
    resized = Image.fromarray(image).resize((size[1], size[0]), Image.Resampling.BILINEAR)
    return np.asarray(resized)
