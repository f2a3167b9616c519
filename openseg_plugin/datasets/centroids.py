"""Where the classes are: their centres in the tiles of every label, for class-uniform sampling.

Zhu et al., 2019 (arXiv 1812.01593, section 4.1); restates NVIDIA/semantic-segmentation,
datasets/uniform.py. Only whole tiles count; a label smaller than a tile has no centres.
"""

import hashlib
import logging
import os
from zipfile import BadZipFile

import numpy as np
from mmengine.dist import broadcast_object_list, is_main_process
from mmengine.logging import print_log

from openseg_plugin.datasets.label_table import read_label, to_train_values
from openseg_plugin.errors import DataError
from openseg_plugin.utils.pool import in_threads

_VALUES = 256
_COLUMNS = 4  # class, sample, x, y


def tile_centroids(label: np.ndarray, *, tile: int, num_classes: int) -> np.ndarray:
    """Centre of mass of every class in every tile: (n, 3) int64 rows class, x, y.

    Args:
        label: (H, W) uint8 train ids; values of ``num_classes`` and more are no class.
        tile: side of the tiles in pixels; they touch, and those over the border are dropped.
        num_classes: number of classes.

    Returns:
        Row by row of tiles, then from left to right, then by class; coordinates are cut to whole
        pixels and belong to the whole label.
    """
    rows = []
    for top in range(0, label.shape[0] - tile + 1, tile):
        for left in range(0, label.shape[1] - tile + 1, tile):
            values = label[top : top + tile, left : left + tile].astype(np.int64)
            along = _VALUES * np.arange(tile)
            size = _VALUES * tile
            # pixels of each class per row and per column: their mean place needs no more
            per_row = np.bincount((values + along[:, None]).ravel(), minlength=size)
            per_column = np.bincount((values + along).ravel(), minlength=size)
            per_row = per_row.reshape(tile, _VALUES)[:, :num_classes]
            per_column = per_column.reshape(tile, _VALUES)[:, :num_classes]
            count = per_row.sum(0)
            present = np.flatnonzero(count)
            places = np.arange(tile)
            y = (places @ per_row)[present] // count[present] + top
            x = (places @ per_column)[present] // count[present] + left
            rows.append(np.stack([present, x, y], axis=1))
    return np.concatenate(rows) if rows else np.zeros((0, 3), np.int64)


def dataset_centroids(dataset, *, tile: int, cache: str | None = None) -> np.ndarray:
    """Centres of all labels of a dataset: (n, 4) int64 rows class, sample, x, y.

    The first process reads the labels, the others get the result.

    Args:
        dataset: of :class:`~openseg_plugin.datasets.base.SegDataset`, or several of them joined.
        tile: side of the tiles in pixels.
        cache: .npz file that keeps the result for as long as the label files do not change; None
            keeps nothing.

    Raises:
        DataError: a label cannot be read, or there is none.
    """
    result: list[np.ndarray | None] = [None]
    if is_main_process():
        result = [_cached(dataset, tile=tile, cache=cache)]
    broadcast_object_list(result)
    return result[0]


def _cached(dataset, *, tile: int, cache: str | None) -> np.ndarray:
    samples = [dataset.get_data_info(k) for k in range(len(dataset))]
    for sample in samples:
        if 'seg_map_path' not in sample:
            raise DataError(f'picture {sample["img_path"]} has no label: class-uniform needs one')
    key = _fingerprint(samples, tile) if cache else ''
    found = _load(cache, key) if cache else None
    if found is not None:
        return found
    print_log(f'looking for the classes in {len(samples)} labels, once', 'current')
    num_classes = len(dataset.metainfo['classes'])

    def of_sample(number: int) -> tuple[int, np.ndarray]:
        path = samples[number]['seg_map_path']
        label = to_train_values(read_label(path), samples[number]['label_table'], path=path)
        rows = tile_centroids(label, tile=tile, num_classes=num_classes)
        return number, np.insert(rows, 1, number, axis=1)

    parts = dict(in_threads(of_sample, range(len(samples))))
    ordered = [parts[number] for number in range(len(samples))]
    centroids = np.concatenate([np.zeros((0, _COLUMNS), np.int64), *ordered])
    if cache:
        _save(cache, key, centroids)
    return centroids


def _fingerprint(samples: list[dict], tile: int) -> str:
    """Changes whenever a label file, the tiles, or the meaning of the values change."""
    digest = hashlib.sha256(str(tile).encode())
    for sample in samples:
        path = sample['seg_map_path']
        try:
            state = os.stat(path)
        except FileNotFoundError as error:
            raise DataError(f'label file {path} is missing: put it there') from error
        digest.update(f'{path}|{state.st_size}|{state.st_mtime_ns}'.encode())
    for table in {sample['label_table'].tobytes() for sample in samples}:
        digest.update(hashlib.sha256(table).digest())
    return digest.hexdigest()


def _load(cache: str, key: str) -> np.ndarray | None:
    try:
        with np.load(cache, allow_pickle=False) as stored:
            return stored['centroids'] if str(stored['key']) == key else None
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, EOFError, BadZipFile) as error:
        print_log(f'{cache} cannot be used ({error}); made anew', 'current', logging.WARNING)
        return None


def _save(cache: str, key: str, centroids: np.ndarray) -> None:
    """Whole or not at all; without room or rights the next run looks again."""
    temporary = f'{cache}.{os.getpid()}.part'
    try:
        os.makedirs(os.path.dirname(cache) or '.', exist_ok=True)
        with open(temporary, 'wb') as file:
            np.savez_compressed(file, key=np.array(key), centroids=centroids)
        os.replace(temporary, cache)
    except OSError as error:
        print_log(f'{cache} cannot be written ({error})', 'current', logging.WARNING)
