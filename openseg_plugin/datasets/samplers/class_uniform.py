"""Class-uniform sampling: half of a pass shows every class equally often.

Zhu et al., 2019 (arXiv 1812.01593, section 4.1); restates NVIDIA/semantic-segmentation,
datasets/uniform.py: places of a class are drawn from :mod:`openseg_plugin.datasets.centroids`, and
:class:`openseg_plugin.RandomCrop` cuts a window that contains the place.
"""

from collections.abc import Sequence
from itertools import accumulate

import numpy as np
from mmengine.dataset import ConcatDataset

from openseg_plugin.datasets.centroids import dataset_centroids
from openseg_plugin.datasets.samplers.infinite import InfiniteSampler, SampleIndex
from openseg_plugin.errors import ConfigError
from openseg_plugin.registry import DATA_SAMPLERS


def uniform_epoch(
    num_samples: int,
    places: Sequence[int],
    *,
    share: float,
    bias: Sequence[float] | None = None,
    generator: np.random.RandomState,
) -> list[int]:
    """Entries of one pass: first whole samples, then places of class 0, 1, ...

    Args:
        num_samples: number of samples n; entry k < n is sample k.
        places: number of places of each class; entry n + j is place j, counted through the
            classes. Classes without a place are left out, so the pass gets shorter.
        share: of the pass that is drawn by class, 0..1; 0 gives the samples in their order.
        bias: factor on the number of places of each class.
        generator: draws a permutation of the samples, then one per class with places.
    """
    if share == 0:
        return list(range(num_samples))
    per_class = int(num_samples * share / len(places))
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
    """Draws ``share`` of every pass by class and the rest at random.

    As :class:`InfiniteSampler`: the order follows from the seed, is shared by the processes, and
    can be entered anywhere.

    With ``boost_classes`` the dataset is a ``ConcatDataset`` whose last part is coarsely (or
    automatically) labelled: its pictures are only drawn for these classes.

    Args:
        dataset: of SegDataset, or several of them joined.
        shuffle: False: samples drawn at random, then class by class.
        seed: of the order and of the augmentation; None takes a random one, the same on every
            process.
        share: of a pass that is drawn by class, 0..1.
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
        share: float = 0.5,
        tile: int = 1024,
        bias: Sequence[float] | None = None,
        boost_classes: Sequence[int] = (),
        cache: str | None = None,
    ) -> None:
        super().__init__(dataset, shuffle, seed)
        num_classes = len(dataset.metainfo['classes'])
        _check(dataset, num_classes, share=share, tile=tile, bias=bias, boost=boost_classes)
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
        self.share = share
        self.bias = bias
        self.size = len(self._entries(0))

    def _entries(self, epoch: int) -> list[int]:
        return uniform_epoch(
            self.num_samples,
            self.places,
            share=self.share,
            bias=self.bias,
            # not the numbers that shuffle the pass
            generator=np.random.RandomState(self._seed_of(epoch) ^ 1),
        )

    def _sample(self, entry: int, position: int) -> SampleIndex:
        if entry < self.num_samples:
            return SampleIndex(entry, position, self.seed)
        _, sample, x, y = self.centroids[entry - self.num_samples].tolist()
        return SampleIndex(sample, position, self.seed, (x, y))


def _check(dataset, num_classes: int, *, share, tile, bias, boost) -> None:
    if not 0 <= share <= 1:
        raise ConfigError(f'ClassUniformSampler has share={share}: give 0..1')
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
