"""All finely labelled images and an equal fraction of the coarsely labelled ones in every pass.

PaddleSeg's sampling for auto-labelled Cityscapes (``CityscapesAutolabeling``): 2975 fine images
and 2975 of the 19998 coarse ones, another share in every pass.
"""

import random
from collections.abc import Sized

from mmengine.dataset import ConcatDataset

from openseg_plugin.datasets.samplers.infinite import InfiniteSampler
from openseg_plugin.errors import ConfigError, DataError
from openseg_plugin.registry import DATA_SAMPLERS


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
    """A pass is every fine image and ``coarse_share`` times as many coarse ones.

    As :class:`InfiniteSampler`: the order follows from the seed, is shared by the processes, and
    can be entered anywhere.

    Args:
        dataset: a ``ConcatDataset``; its last part is the coarse one, all others are fine.
        shuffle: False: the fine images in their order, then the coarse ones.
        seed: of the order and of the augmentation; None takes a random one, the same on every
            process.
        coarse_share: coarse images per fine image and pass.
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
        coarse_share: float = 1.0,
        coarse_seed: int = 100,
    ) -> None:
        super().__init__(dataset, shuffle, seed)
        if not isinstance(dataset, ConcatDataset) or len(dataset.datasets) < 2:
            raise ConfigError(
                "FineAndCoarseSampler needs dataset=dict(type='ConcatDataset', datasets=[fine, "
                'coarse])'
            )
        if coarse_share < 0:
            raise ConfigError(f'coarse_share is {coarse_share}: give a number of 0 or more')
        self.num_coarse = len(dataset.datasets[-1])
        self.num_fine = len(dataset) - self.num_coarse
        self.coarse_seed = coarse_seed
        self.size = int(self.num_fine * (1 + coarse_share))
        if self.size > len(dataset):
            raise DataError(
                f'a pass needs {self.size - self.num_fine} coarse images ({coarse_share} per '
                f'fine one) but there are {self.num_coarse}: lower coarse_share or add images'
            )

    def _entries(self, epoch: int) -> list[int]:
        share = coarse_order(self.num_coarse, epoch, seed=self.coarse_seed)
        coarse = share[: self.size - self.num_fine]
        return [*range(self.num_fine), *(self.num_fine + k for k in coarse)]
