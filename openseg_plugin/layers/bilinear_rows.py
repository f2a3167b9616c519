"""Any rows of a bilinear resize, with the bits that ``F.interpolate`` gives for the whole map.

A slice of a map cannot be handed to ``F.interpolate``: its row 0 would be resampled as if it were
the map's. The bilinear kernel works column-wise first and then row-wise, so its row-wise half can
be done here: result row = ``maps[above] * weight_above + maps[below] * weight_below`` with the
weights and the roundings of the kernel. Compilers fuse one product into the sum (a multiply-add
rounds once) or not; which one is not assumed but measured, bit for bit, once per pair of heights
(:func:`row_plan`).

K channels, h source rows, H target rows, W columns.
"""

import dataclasses
import functools
import itertools

import torch
import torch.nn.functional as F
from torch import Tensor

# F.interpolate takes another kernel for outputs with H + W up to 128, and rounds 3 channels in
# another order (aten UpSampleKernel.cpp). From so many channels on, their number changes nothing.
SMALL_OUTPUT = 128
MANY_CHANNELS = 5


@dataclasses.dataclass(frozen=True)
class RowPlan:
    """Where the H rows of a vertical resize come from.

    Attributes:
        first: source row whose product is rounded, for every target row.
        second: source row whose product is fused into the sum.
        first_weight, second_weight: their weights, exact float32 values.
    """

    first: tuple[int, ...]
    second: tuple[int, ...]
    first_weight: tuple[float, ...]
    second_weight: tuple[float, ...]

    def needed(self, start: int, stop: int) -> tuple[int, int]:
        """First source row, and one past the last, that target rows start..stop need."""
        ends = (self.first[start], self.second[start], self.first[stop - 1], self.second[stop - 1])
        return min(ends), max(ends) + 1

    def rows(self, maps: Tensor, *, start: int, stop: int, offset: int) -> Tensor:
        """Target rows start..stop, (K, stop - start, W).

        Args:
            maps: (K, n, W) float32, the source rows offset..offset + n.
            start: first target row.
            stop: one past the last target row.
            offset: source row that ``maps`` begins with.
        """
        out = maps.new_empty((maps.shape[0], stop - start, maps.shape[2]))
        for y in range(start, stop):
            row = out[:, y - start]
            torch.mul(maps[:, self.first[y] - offset], self.first_weight[y], out=row)
            # add with alpha is a fused multiply-add wherever the kernel is compiled to use one
            row.add_(maps[:, self.second[y] - offset], alpha=self.second_weight[y])
        return out


def _plan(source: int, target: int, *, align_corners: bool, fused: bool, swap: bool) -> RowPlan:
    position = torch.arange(target, dtype=torch.float32)
    if align_corners:
        position = position * (torch.tensor(float(source - 1)) / max(target - 1, 1))
    else:
        scale = torch.tensor(float(source)) / target
        if fused:  # one rounding: float64 holds the product of two float32 exactly
            position, scale = position.double(), scale.double()
        position = ((position + 0.5) * scale - 0.5).float().clamp(min=0)
    above = position.long().clamp(max=source - 1)
    below = (above + 1).clamp(max=source - 1)
    weight = (position - above).clamp(0, 1)
    parts = [(above, 1 - weight), (below, weight)]
    (first, first_weight), (second, second_weight) = reversed(parts) if swap else parts
    return RowPlan(*(tuple(t.tolist()) for t in (first, second, first_weight, second_weight)))


@functools.lru_cache(maxsize=256)
def row_plan(source: int, target: int, align_corners: bool, channels: int) -> RowPlan | None:
    """Plan for source -> target rows on the CPU; None where no plan is right bit for bit.

    Args:
        source: h in pixels.
        target: H in pixels.
        align_corners: convention of the resize.
        channels: K, at most MANY_CHANNELS (more give the same plan).
    """
    generator = torch.Generator().manual_seed(0)
    probe = torch.randn((channels, source, SMALL_OUTPUT + 1), generator=generator)
    size = (target, SMALL_OUTPUT + 1)
    expected = F.interpolate(probe[None], size, mode='bilinear', align_corners=align_corners)[0]
    for swap, fused in itertools.product((True, False), repeat=2):
        plan = _plan(source, target, align_corners=align_corners, fused=fused, swap=swap)
        if torch.equal(plan.rows(probe, start=0, stop=target, offset=0), expected):
            return plan
    return None
