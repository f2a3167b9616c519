"""Endless shuffled order of samples that can be entered anywhere, and knows where it is.

*Position*: number of a sample in the endless order of all processes together, from 0. It decides
which image comes and, with :class:`openseg_plugin.SeedSample`, how it is augmented; neither the
number of processes nor the number of loading workers changes that.

A sampler on it takes all finely labelled images and an equal fraction of the coarse ones in every
pass: PaddleSeg's sampling for auto-labelled Cityscapes (``CityscapesAutolabeling``) has
2975 fine images and 2975 of the 19998 coarse ones, others in every pass.
"""

import random
from collections.abc import Iterator, Sequence, Sized

import numpy as np
import torch
from mmengine.dataset import ConcatDataset
from mmengine.dist import get_dist_info, sync_random_seed
from torch.utils.data import Sampler

from openseg_plugin.errors import ConfigError, DataError
from openseg_plugin.registry import DATA_SAMPLERS


class SampleIndex(int):
    """Index of a sample in its dataset that also knows its position and the seed of the order.

    Dataset wrappers compute indices with ``-`` and ``%``; the result still knows.

    Attributes:
        position: see the head of this file.
        seed: of the order and of the augmentation.
        point: (x, y) of the image that a crop must contain, or None for any crop.
    """

    position: int
    seed: int
    point: tuple[int, int] | None

    def __new__(
        cls, index: int, position: int, seed: int, point: tuple[int, int] | None = None
    ) -> 'SampleIndex':
        value = super().__new__(cls, index)
        value.position = position
        value.seed = seed
        value.point = point
        return value

    def __reduce__(self) -> tuple:
        return SampleIndex, (int(self), self.position, self.seed, self.point)

    def __sub__(self, other: int) -> 'SampleIndex':
        return SampleIndex(int(self) - other, self.position, self.seed, self.point)

    def __mod__(self, other: int) -> 'SampleIndex':
        return SampleIndex(int(self) % other, self.position, self.seed, self.point)


@DATA_SAMPLERS.register_module()
class InfiniteSampler(Sampler):
    """Yields this process's fraction of an endless order, as :class:`SampleIndex`.

    The order is a new permutation for every pass over the data, made from seed and number of the
    pass alone, so any position is found at once. With P processes, process r gets the positions
    start + r, start + r + P, ...: the global batch does not depend on P.

    Args:
        dataset: the samples.
        shuffle: False walks through the dataset in its own order.
        seed: of the order and of the augmentation; None takes a random one, the same on every
            process.

    Raises:
        DataError: the dataset is empty.
    """

    def __init__(self, dataset: Sized, shuffle: bool = True, seed: int | None = None) -> None:
        if len(dataset) == 0:
            raise DataError('the training split has no samples: check the data paths in the config')
        self.rank, self.world_size = get_dist_info()
        self.dataset = dataset
        self.size = len(dataset)
        self.shuffle = shuffle
        self.seed = sync_random_seed() if seed is None else seed
        self.start = 0

    def __iter__(self) -> Iterator[SampleIndex]:
        position = self.start + self.rank
        epoch = -1
        order: Sequence[int] | np.ndarray = ()
        while True:
            if position // self.size != epoch:
                epoch = position // self.size
                order = self._order(epoch)
            yield self._sample(int(order[position % self.size]), position)
            position += self.world_size

    def __len__(self) -> int:
        """Samples per pass, as mmengine's sampler of the same name counts."""
        return self.size

    def _order(self, epoch: int) -> Sequence[int] | np.ndarray:
        """The entries of a pass; what an entry means is up to :meth:`_sample`."""
        entries = self._entries(epoch)
        if not self.shuffle:
            return entries
        generator = torch.Generator().manual_seed(self._seed_of(epoch))
        order = torch.randperm(len(entries), generator=generator)
        if isinstance(entries, range):  # an array, of which loading processes make no copies
            return order.numpy()
        return [entries[k] for k in order.tolist()]

    def _entries(self, epoch: int) -> Sequence[int]:
        """What a pass consists of, before it is shuffled: ``size`` entries; here every sample."""
        return range(self.size)

    def _sample(self, entry: int, position: int) -> SampleIndex:
        return SampleIndex(entry, position, self.seed)

    def _seed_of(self, epoch: int) -> int:
        """Below 2**32, and unlike that of any other pass of any other seed."""
        return int(np.random.SeedSequence([self.seed, epoch]).generate_state(1)[0])

    def set_epoch(self, epoch: int) -> None:
        """Does nothing: passes follow each other by themselves; mmengine's hooks call this."""


def coarse_order(number: int, epoch: int, *, seed: int) -> list[int]:
    """Order of the coarse images in a pass: shuffled once more for every pass before it.

    Args:
        number: of coarse images.
        epoch: number of the pass, from 0.
        seed: of Python's generator; PaddleSeg has 100.
    """
    generator = random.Random(seed)
    order = list(range(number))
    for _ in range(epoch + 1):
        generator.shuffle(order)
    return order


@DATA_SAMPLERS.register_module()
class FineAndCoarseSampler(InfiniteSampler):
    """A pass is every fine image and ``coarse_ratio`` times as many coarse ones.

    As :class:`InfiniteSampler`: the order follows from the seed, is shared by the processes, and
    can be entered anywhere.

    Args:
        dataset: a ``ConcatDataset``; its last part is the coarse one, all others are fine.
        shuffle: False: the fine images in their order, then the coarse ones.
        seed: of the order and of the augmentation; None takes a random one, the same on every
            process.
        coarse_ratio: coarse images per fine image and pass.
        coarse_seed: decides which coarse images a pass gets; PaddleSeg's value by default.

    Raises:
        ConfigError: the dataset is not joined of fine and coarse images.
        DataError: there are not enough coarse images for one pass.
    """

    def __init__(
        self,
        dataset: Sized,
        shuffle: bool = True,
        seed: int | None = None,
        *,
        coarse_ratio: float = 1.0,
        coarse_seed: int = 100,
    ) -> None:
        super().__init__(dataset, shuffle, seed)
        if not isinstance(dataset, ConcatDataset) or len(dataset.datasets) < 2:
            raise ConfigError(
                "FineAndCoarseSampler needs dataset=dict(type='ConcatDataset', datasets=[fine, "
                'coarse])'
            )
        if coarse_ratio < 0:
            raise ConfigError(f'coarse_ratio is {coarse_ratio}: give a number of 0 or more')
        self.num_coarse = len(dataset.datasets[-1])
        self.num_fine = len(dataset) - self.num_coarse
        self.coarse_seed = coarse_seed
        self.size = int(self.num_fine * (1 + coarse_ratio))
        if self.size > len(dataset):
            raise DataError(
                f'a pass needs {self.size - self.num_fine} coarse images ({coarse_ratio} per '
                f'fine one) but there are {self.num_coarse}: lower coarse_ratio or add images'
            )

    def _entries(self, epoch: int) -> list[int]:
        order = coarse_order(self.num_coarse, epoch, seed=self.coarse_seed)
        coarse = order[: self.size - self.num_fine]
        return [*range(self.num_fine), *(self.num_fine + k for k in coarse)]
