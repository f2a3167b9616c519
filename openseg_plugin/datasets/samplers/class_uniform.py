"""Class-uniform sampling: half of a pass shows every class equally often.

Zhu et al., 2019 (arXiv 1812.01593, section 4.1); restates NVIDIA/semantic-segmentation,
datasets/uniform.py: a class is drawn, then one of its centers in the tiles of the labels, and
:class:`openseg_plugin.RandomCrop` cuts a window that contains that place. Only whole tiles count; a
label smaller than a tile has no centers.
"""

import hashlib
import logging
import os
from collections.abc import Sequence
from itertools import accumulate
from typing import Any

import numpy as np
from mmengine.dataset import ConcatDataset
from mmengine.dist import broadcast_object_list, is_main_process
from mmengine.logging import print_log

from openseg_plugin.datasets.label_table import to_train_values
from openseg_plugin.datasets.samplers.infinite import InfiniteSampler, SampleIndex
from openseg_plugin.errors import ConfigError, DataError
from openseg_plugin.registry import DATA_SAMPLERS
from openseg_plugin.utils.files import TargetError, atomic_write
from openseg_plugin.utils.images import class_numbers, read_label
from openseg_plugin.utils.pool import in_threads

_VALUES = 256
_COLUMNS = 4  # class, sample, x, y


def tile_centroids(label: np.ndarray, *, tile: int, num_classes: int) -> np.ndarray:
    """Center of mass of every class in every tile: (n, 3) int64 rows class, x, y.

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
    """Centers of all labels of a dataset: (n, 4) int64 rows class, sample, x, y.

    The first process reads the labels, the others get the result.

    Args:
        dataset: of :class:`~openseg_plugin.datasets.base.SegDataset`, or several of them joined.
        tile: side of the tiles in pixels.
        cache: .npz file that keeps the result for as long as the label files do not change; None
            keeps nothing.

    Raises:
        DataError: a label cannot be read, or there is none.
    """
    result: list[Any] = [None]
    if is_main_process():
        result = [_cached(dataset, tile=tile, cache=cache)]
    broadcast_object_list(result)
    return result[0]


def _cached(dataset, *, tile: int, cache: str | None) -> np.ndarray:
    samples = [dataset.get_data_info(k) for k in range(len(dataset))]
    for sample in samples:
        if 'seg_map_path' not in sample:
            raise DataError(f'image {sample["img_path"]} has no label: class-uniform needs one')
    key = _fingerprint(samples, tile) if cache else ''
    found = _load(cache, key) if cache else None
    if found is not None:
        return found
    print_log(f'looking for the classes in {len(samples)} labels, once', 'current')
    num_classes = len(dataset.metainfo['classes'])

    def of_sample(number: int) -> tuple[int, np.ndarray]:
        path = samples[number]['seg_map_path']
        label = class_numbers(read_label(path), path)
        label = to_train_values(label, samples[number]['label_table'], path=path)
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
    except Exception as error:  # whatever reading a damaged archive raises
        print_log(f'{cache} cannot be used ({error}); made anew', 'current', logging.WARNING)
        return None


def _save(cache: str, key: str, centroids: np.ndarray) -> None:
    """Whole or not at all; without room or rights the next run looks again."""
    try:
        with atomic_write(cache) as temporary, open(temporary, 'wb') as file:
            np.savez_compressed(file, key=np.array(key), centroids=centroids)
    except (OSError, TargetError) as error:
        print_log(f'{cache} cannot be written ({error})', 'current', logging.WARNING)


def uniform_epoch(
    num_samples: int,
    places: Sequence[int],
    *,
    fraction: float,
    bias: Sequence[float] | None = None,
    generator: np.random.RandomState,
) -> list[int]:
    """Entries of one pass: first whole samples, then places of class 0, 1, ...

    Args:
        num_samples: number of samples n; entry k < n is sample k.
        places: number of places of each class; entry n + j is place j, counted through the
            classes. Classes without a place are left out, so the pass gets shorter.
        fraction: of the pass that is drawn by class, 0..1; 0 gives the samples in their order.
        bias: factor on the number of places of each class.
        generator: draws a permutation of the samples, then one per class with places.
    """
    if fraction == 0:
        return list(range(num_samples))
    per_class = int(num_samples * fraction / len(places))
    entries = _drawn(num_samples, num_samples - per_class * len(places), generator)
    starts = accumulate(places, initial=num_samples)
    for number, (start, count) in enumerate(zip(starts, places)):
        if count:
            wanted = int(per_class * bias[number]) if bias else per_class
            entries += [start + k for k in _drawn(count, wanted, generator)]
    return entries


def _drawn(count: int, wanted: int, generator: np.random.RandomState) -> list[int]:
    """``wanted`` of 0..count - 1: a permutation, over and over if it is too short."""
    order = np.arange(count)
    generator.shuffle(order)
    return [int(order[k % count]) for k in range(wanted)]


@DATA_SAMPLERS.register_module()
class ClassUniformSampler(InfiniteSampler):
    """Draws ``fraction`` of every pass by class and the rest at random.

    As :class:`InfiniteSampler`: the order follows from the seed, is shared by the processes, and
    can be entered anywhere.

    With ``boost_classes`` the dataset is a ``ConcatDataset`` whose last part is coarsely (or
    automatically) labelled: its images are only drawn for these classes.

    Args:
        dataset: of SegDataset, or several of them joined.
        shuffle: False: samples drawn at random, then class by class.
        seed: of the order and of the augmentation; None takes a random one, the same on every
            process.
        fraction: of a pass that is drawn by class, 0..1.
        tile: side in pixels of the tiles in which classes are looked for.
        bias: factor on the number of draws of each class; None: 1.
        boost_classes: train ids that the last part is drawn for; empty: all parts count alike.
        cache: .npz file that keeps the places of the classes between runs.

    Raises:
        ConfigError: an option is outside its range.
        DataError: a label cannot be read.
    """

    def __init__(
        self,
        dataset,
        shuffle: bool = True,
        seed: int | None = None,
        *,
        fraction: float = 0.5,
        tile: int = 1024,
        bias: Sequence[float] | None = None,
        boost_classes: Sequence[int] = (),
        cache: str | None = None,
    ) -> None:
        super().__init__(dataset, shuffle, seed)
        num_classes = len(dataset.metainfo['classes'])
        _check(dataset, num_classes, fraction=fraction, tile=tile, bias=bias, boost=boost_classes)
        self.num_samples = len(dataset)
        if boost_classes:
            self.num_samples -= len(dataset.datasets[-1])
        found = dataset_centroids(dataset, tile=tile, cache=cache)
        if boost_classes:
            fine = found[:, 1] < self.num_samples
            found = found[fine | np.isin(found[:, 0], list(boost_classes))]
        # by class, within a class in the order of the samples
        self.centroids = found[np.argsort(found[:, 0], kind='stable')]
        self.places = np.bincount(found[:, 0], minlength=num_classes).tolist()
        self.fraction = fraction
        self.bias = bias
        self.size = len(self._entries(0))

    def _entries(self, epoch: int) -> list[int]:
        return uniform_epoch(
            self.num_samples,
            self.places,
            fraction=self.fraction,
            bias=self.bias,
            # not the numbers that shuffle the pass
            generator=np.random.RandomState(self._seed_of(epoch) ^ 1),
        )

    def _sample(self, entry: int, position: int) -> SampleIndex:
        if entry < self.num_samples:
            return SampleIndex(entry, position, self.seed)
        _, sample, x, y = self.centroids[entry - self.num_samples].tolist()
        return SampleIndex(sample, position, self.seed, (x, y))


def _check(dataset, num_classes: int, *, fraction, tile, bias, boost) -> None:
    if not 0 <= fraction <= 1:
        raise ConfigError(f'ClassUniformSampler has fraction={fraction}: give 0..1')
    if tile < 1:
        raise ConfigError(f'ClassUniformSampler has tile={tile}: give a number of pixels')
    if bias is not None and len(bias) != num_classes:
        raise ConfigError(
            f'ClassUniformSampler has {len(bias)} values of bias for {num_classes} classes: give '
            'one per class'
        )
    if not boost:
        return
    if not isinstance(dataset, ConcatDataset) or len(dataset.datasets) < 2:
        raise ConfigError(
            "boost_classes needs dataset=dict(type='ConcatDataset', datasets=[fine, coarse])"
        )
    wrong = sorted(set(boost) - set(range(num_classes)))
    if wrong:
        raise ConfigError(f'boost_classes has {wrong[0]}: give train ids 0..{num_classes - 1}')
