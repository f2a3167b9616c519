"""Bilinear resize with Paddle's coordinates: float32, whatever the dtype of the maps.

Torch does the same for float32 maps. For float64 ones it is more precise, which shows in the
network's outputs as 1e-4 where a ratio is no power of two.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from unittest import mock

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor


def interpolate(
    maps: Tensor,
    size: Sequence[int] | None = None,
    scale_factor: float | None = None,
    mode: str = 'nearest',
    align_corners: bool | None = None,
    recompute_scale_factor: bool | None = None,
) -> Tensor:
    """``F.interpolate`` for bilinear resizes whose corners are not aligned."""
    assert mode == 'bilinear' and not align_corners and not recompute_scale_factor
    for dim in (2, 3):
        length = maps.shape[dim]
        target = int(length * scale_factor) if size is None else int(size[dim - 2])
        ratio = np.float32(length) / np.float32(target)
        if scale_factor is not None:
            ratio = np.float32(1) / np.float32(scale_factor)
        places = ratio * (np.arange(target, dtype='float32') + np.float32(0.5)) - np.float32(0.5)
        places = torch.from_numpy(np.maximum(places, 0)).float()
        before = places.long().clamp(max=length - 1)
        after = (before + 1).clamp(max=length - 1)
        share = (places - before).to(maps.dtype).view([-1] + [1] * (3 - dim))
        low, high = maps.index_select(dim, before), maps.index_select(dim, after)
        maps = low * (1 - share) + high * share
    return maps


@contextmanager
def float32_coordinates() -> Iterator[None]:
    """Within it every resize of the package has Paddle's coordinates."""
    with mock.patch.object(F, 'interpolate', interpolate):
        yield
