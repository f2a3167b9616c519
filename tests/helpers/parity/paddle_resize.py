"""Images at another scale with Paddle's coordinates: float32, whatever the dtype of the image.

Torch does the same for float32 images. For float64 ones it is more precise, which shows in the
network's outputs as 1e-4 where a scale has no exact inverse.
"""

import numpy as np
import torch
from torch import Tensor


def scaled(maps: Tensor, scale: float) -> Tensor:
    """Maps (N, C, H, W) at ``scale``, sides rounded down, one axis after the other."""
    for dim in (2, 3):
        length = maps.shape[dim]
        ratio = np.float32(1) / np.float32(scale)
        places = np.arange(int(length * scale), dtype='float32') + np.float32(0.5)
        places = np.maximum(ratio * places - np.float32(0.5), 0)
        before = torch.from_numpy(places).long().clamp(max=length - 1)
        after = (before + 1).clamp(max=length - 1)
        fraction = (torch.from_numpy(places) - before).to(maps.dtype).view([-1] + [1] * (3 - dim))
        low, high = maps.index_select(dim, before), maps.index_select(dim, after)
        maps = low * (1 - fraction) + high * fraction
    return maps
