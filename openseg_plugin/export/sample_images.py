"""Images that an exported file is compared and calibrated on.

Those of a folder, of the config's test set, or drawn ones, read as the config's test pipeline does.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image

from openseg_plugin.converters.checkpoints.stored_config import from_data
from openseg_plugin.errors import DataError, UserError
from openseg_plugin.registry import DATASETS, TRANSFORMS
from openseg_plugin.synth.scene import draw_scene
from openseg_plugin.utils.files import IMAGE_ENDINGS
from openseg_plugin.utils.images import read_label

CHECKED = 8  # images
CALIBRATED = 64
SMALLEST_CHECKED = 67  # pixels of a side, above what a file for any size takes
Read = Callable[[Path], np.ndarray]


@dataclass(frozen=True)
class Samples:
    """Images to compare on.

    Attributes:
        images: (H, W, C) each; of three channels red is first.
        annotations: true classes (H, W) of each, or None.
        source: where they came from.
    """

    images: list[np.ndarray] = field(default_factory=list)
    annotations: list[np.ndarray | None] = field(default_factory=list)
    source: str = ''


def images_to_check(
    check: str,
    config: Any,
    size: Sequence[int] | None,
    *,
    most: int = CHECKED,
    channels: int = 3,
    read: Read | None = None,
) -> Samples:
    """Images to compare on, and their true classes where there are some.

    Args:
        check: a folder, 'none', 'scenes' (drawn ones), or 'auto': those of the config's test set,
            or drawn ones where its folders are not here.
        config: of the model, as data.
        size: (H, W) that all are resized to; None: they stay as they are.
        most: images of the folder or the test set.
        channels: that the model takes.
        read: what :func:`reader` made; None: color images.

    Raises:
        DataError: the folder has no images, or the test set is here but broken, or an image cannot
            be read.
    """
    read = read or reader(None, channels)
    if check == 'none':
        return Samples()
    if check not in ('auto', 'scenes'):
        return _folder_pairs(Path(check), size, read, most)
    found = _of_test_set(config, size, read, most) if check == 'auto' else None
    if found is not None:
        return found
    height, width = size or (97, 161)
    # one larger than what is recorded, others of odd sides
    sizes = [(height, width)] if size else [(97, 161), (128, 256), (65, 70), (203, 307)]
    scenes = [draw_scene((0, index), size=one).image for index, one in enumerate(sizes)]
    images = [_with_channels(scene, channels) for scene in scenes]
    return Samples(images, [None] * len(images), 'drawn scenes')


def calibration_images(
    folder: Path, size: Sequence[int] | None, read: Read | None = None
) -> list[np.ndarray]:
    """Some images of a folder, whose values say the ranges of a file in 8 bits.

    Raises:
        DataError: the folder has no images, or one that cannot be read.
    """
    read = read or reader(None, 3)
    files = _image_files(_image_folder(folder), CALIBRATED)
    return [_at_size(read(path), size) for path in files]


def reader(loading: Mapping[str, Any] | None, channels: int) -> Read:
    """What reads a file as the model's test pipeline does, (H, W, C), of three channels red first.

    Args:
        loading: config of the pipeline's step that loads an image; None: it is not known.
        channels: that the model takes.

    The function raises DataError for a file that cannot be read so, or has other channels.
    """
    if loading is None:
        return lambda path: _fitting(_decoded(path, channels), path, channels)
    load: Any = TRANSFORMS.build(dict(loading))

    def read(path: Path) -> np.ndarray:
        try:
            image = np.asarray(load({'img_path': str(path)})['img'])
        except UserError:
            raise
        except Exception as error:  # whatever a decoder does with a broken file
            raise DataError(
                f'image {path} cannot be read as the test pipeline of the config does '
                f'({" ".join(str(error).split())[:200]}): replace it'
            ) from error
        image = image[:, :, None] if image.ndim == 2 else image
        if image.dtype.kind == 'f' and np.array_equal(image, image.astype(np.uint8)):
            image = image.astype(np.uint8)  # gray values 0..255 that the step made floats of
        image = image[:, :, ::-1] if image.shape[2] == 3 else image
        return _fitting(np.ascontiguousarray(image), path, channels)

    return read


def _fitting(image: np.ndarray, path: Path, channels: int) -> np.ndarray:
    if image.shape[2] != channels:
        raise DataError(
            f'image {path} is loaded with {image.shape[2]} channels, and the model takes '
            f'{channels}: give images with {channels}, or mend how the test pipeline loads them'
        )
    return image


def at_other_sizes(image: np.ndarray) -> list[np.ndarray]:
    """An image with odd sides, one larger and one smaller: those of a test set may all be equal."""
    height, width = image.shape[:2]
    sizes = [(height * 5 // 4 | 1, width * 9 // 8 | 1), (height * 5 // 8 | 1, width * 3 // 4 | 1)]
    return [_at_size(image, [max(side, SMALLEST_CHECKED) for side in size]) for size in sizes]


def _of_test_set(config: Any, size: Sequence[int] | None, read: Read, most: int) -> Samples | None:
    """Images and labels from the config's test set, evenly spaced; None where it is not here.

    Raises:
        DataError: it is here, but broken.
    """
    described = (from_data(config).get('test_dataloader') or {}).get('dataset')
    if not described:
        return None
    try:
        dataset = DATASETS.build(described)
        chosen = np.linspace(0, len(dataset) - 1, min(most, len(dataset))).round().astype(int)
        images, annotations = [], []
        for index in map(int, chosen):
            sample = dataset[index]['data_samples']
            image = read(Path(dataset.get_data_info(index)['img_path']))
            labels = sample.gt_sem_seg.data[0].numpy() if 'gt_sem_seg' in sample else None
            if labels is not None and labels.shape != image.shape[:2]:
                labels = None  # of what the pipeline made of the image
            annotations.append(None if labels is None else _labels_at(labels, size))
            images.append(_at_size(image, size))
    except Exception as error:  # whatever a dataset does that is not here, or broken
        if not _is_here(described):
            return None
        fault = str(error) if isinstance(error, UserError) else f'it is broken ({error}): mend it'
        raise DataError(
            f'test set of the config: {fault}; or give --check DIR, or --check none'
        ) from error
    return Samples(images, annotations, 'test set') if images else None


def _is_here(described: Any) -> bool:
    """Whether every folder of a dataset is there; one that names none counts as there."""
    for part in _parts(described):
        root, prefixes = part.get('data_root') or '', part.get('data_prefix') or {}
        try:
            lazy = DATASETS.build({**part, 'lazy_init': True})  # knows the folders of its class
            root, prefixes = '', lazy.data_prefix
        except Exception:  # the folders of the config have to do
            pass
        folders = [Path(root, one) for one in prefixes.values() if isinstance(one, str)]
        if any(not folder.is_dir() for folder in folders or [Path(root)]):
            return False
    return True


def _parts(described: Any) -> Iterator[dict[str, Any]]:
    """The datasets inside wrappers."""
    inner = described.get('datasets') or described.get('dataset')
    if not inner:
        yield described
        return
    for one in inner if isinstance(inner, list | tuple) else [inner]:
        yield from _parts(one)


def _folder_pairs(folder: Path, size: Sequence[int] | None, read: Read, most: int) -> Samples:
    """Images of a folder, or of ``image`` in it with the labels of the same names in ``label``.

    That is how ``openseg convert-dataset`` lays out a split.
    """
    inside = _image_folder(folder)
    images: list[np.ndarray] = []
    annotations: list[np.ndarray | None] = []
    for path in _image_files(inside, most):
        image = read(path)
        annotation = None
        if inside != folder:
            name = path.relative_to(inside).with_suffix('.png')
            labels = read_label(folder / 'label' / name)
            if labels.shape != image.shape[:2]:
                raise DataError(
                    f'{folder / "label" / name} has {labels.shape[0]}x{labels.shape[1]} pixels and '
                    f'its image {image.shape[0]}x{image.shape[1]}: both must have one size'
                )
            annotation = _labels_at(labels, size)
        images.append(_at_size(image, size))
        annotations.append(annotation)
    return Samples(images, annotations, str(folder))


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


def _decoded(path: Path, channels: int) -> np.ndarray:
    """(H, W, C) uint8, color or gray.

    Raises:
        DataError: it cannot be decoded, or has more than 8 bits.
    """
    try:
        with Image.open(path) as opened:
            if opened.mode.startswith(('I', 'F')):  # PIL would cut the values off at 255
                raise DataError(f'{path} has more than 8 bits a channel: give images of 8 bits')
            if channels == 1:
                return np.array(opened.convert('L'))[:, :, None]
            return np.asarray(opened.convert('RGB'))
    except OSError as error:
        raise DataError(f'image {path} cannot be decoded ({error}): replace it') from error


def _with_channels(image: np.ndarray, channels: int) -> np.ndarray:
    """A color image (H, W, 3) with the channels that a model takes: gray, or colors in turn."""
    if channels == 1:
        return np.array(Image.fromarray(image).convert('L'))[:, :, None]
    return image if channels == 3 else image[:, :, np.arange(channels) % 3]


def _at_size(image: np.ndarray, size: Sequence[int] | None) -> np.ndarray:
    if size is None or image.shape[:2] == tuple(size):
        return image
    height, width = size
    if image.dtype == np.uint8 and image.shape[2] == 3:
        resized = Image.fromarray(image).resize((width, height), Image.Resampling.BILINEAR)
        return np.asarray(resized)
    return cv2.resize(image, (width, height)).reshape(height, width, image.shape[2])


def _labels_at(labels: np.ndarray, size: Sequence[int] | None) -> np.ndarray:
    """Those of the nearest pixels."""
    if size is None or labels.shape == tuple(size):
        return labels
    rows, columns = (
        ((np.arange(side) + 0.5) * before / side).astype(int)
        for side, before in zip(size, labels.shape)
    )
    return labels[np.ix_(rows, columns)]
