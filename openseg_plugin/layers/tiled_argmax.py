"""Label maps from low-resolution scores without a full-size score map.

The straightforward way resizes the scores to the network's input, cuts the padding off, flips
them back, resizes them to the original image (:func:`resize_to_original`) and takes the arg-max:
two
full-size float maps of K classes. :func:`label_map` gives the same labels from a strip of rows at
a time, or from a few classes at a time where strips cannot have the same bits (a GPU, other
floating-point types, tiny maps).

N batch, K classes, h, w size of the scores, H, W size of the label map in pixels.

Any rows of a bilinear resize, with the bits that ``F.interpolate`` gives for the whole map.

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
import math
from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from openseg_plugin.layers.resize import resize_bilinear, sample_axis

# F.interpolate takes another kernel for outputs with H + W up to 128, and rounds 3 channels in
# another order (aten UpSampleKernel.cpp). From so many channels on, their number changes nothing.
SMALL_OUTPUT = 128
MANY_CHANNELS = 5
_SAMPLED_PIXELS = 2**17


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


STRIP_BYTES = 5 * 2**20  # scores of one strip: stays in the cache, small against a label map
CHUNK_BYTES = {'cpu': 2**26, 'cuda': 2**29}  # full-size scores of the classes done at a time


@dataclasses.dataclass(frozen=True)
class OutputGeometry:
    """How a network's scores lie on the image they were made for.

    Attributes:
        input_size: (H, W) of the network's input: the scores are resized to it.
        padding: pixels of ``input_size`` at (left, right, top, bottom) that are not image.
        flip: 'horizontal' or 'vertical' where the network saw the image flipped.
        output_size: (H, W) of the original image; None keeps the unpadded input size.
    """

    input_size: tuple[int, int]
    padding: tuple[int, int, int, int] = (0, 0, 0, 0)
    flip: str | None = None
    output_size: tuple[int, int] | None = None

    @property
    def image_size(self) -> tuple[int, int]:
        """(H, W) of the input without its padding."""
        left, right, top, bottom = self.padding
        return (self.input_size[0] - top - bottom, self.input_size[1] - left - right)

    @property
    def final_size(self) -> tuple[int, int]:
        """(H, W) of the result."""
        height, width = self.output_size or self.image_size
        return height, width


def resize_to_input(scores: Tensor, geometry: OutputGeometry, *, align_corners: bool) -> Tensor:
    """Scores on the network's image: resized to the input, unpadded, flipped back.

    Args:
        scores: (N, K, h, w).
        geometry: where they belong.
        align_corners: convention of the resize.

    Returns:
        (N, K, H, W), (H, W) = ``geometry.image_size``.
    """
    scores = resize_bilinear(scores, geometry.input_size, align_corners=align_corners)
    left, _, top, _ = geometry.padding
    height, width = geometry.image_size
    scores = scores[:, :, top : top + height, left : left + width]
    if geometry.flip is None:
        return scores
    return scores.flip(3 if geometry.flip == 'horizontal' else 2)


def resize_to_original(scores: Tensor, geometry: OutputGeometry, *, align_corners: bool) -> Tensor:
    """Scores on the original image, (N, K, H, W): :func:`resize_to_input`, then resized to it."""
    scores = resize_to_input(scores, geometry, align_corners=align_corners)
    return resize_bilinear(scores, geometry.final_size, align_corners=align_corners)


def label_map(scores: Tensor, geometry: OutputGeometry, *, align_corners: bool) -> Tensor:
    """Class of the highest score at every pixel of the original image, (N, H, W) int64.

    Equal to ``resize_to_original(scores.contiguous(), ...).argmax(1)``, ties to the lower class
    included, for any sizes.

    Args:
        scores: (N, K, h, w) logits or probabilities.
        geometry: where they belong.
        align_corners: convention of the resizes.
    """
    scores = scores.detach().contiguous()
    strips = RowTiledResize.plan(scores, geometry, align_corners=align_corners)
    maps = []
    for one in scores:
        if strips is not None:
            maps.append(strips.label_map(one))
        else:
            maps.append(_label_map_by_classes(one, geometry, align_corners=align_corners))
    return torch.stack(maps)


def sampling_stride(size: tuple[int, int]) -> int:
    """Every how many rows and columns of an image (H, W) probabilities are sampled.

    1 up to about 512 x 512 pixels, 4 at 1024 x 2048: what calibration is measured on. More pixels
    would change nothing but the time.
    """
    return max(1, round(math.sqrt(size[0] * size[1] / _SAMPLED_PIXELS)))


def sampled_probabilities(
    scores: Tensor, geometry: OutputGeometry, *, align_corners: bool, stride: int
) -> Tensor:
    """Probabilities at every ``stride``-th row and column of the original image, (K, h', w').

    Those of :func:`resize_to_original` and a softmax (sigmoid for one channel) up to rounding,
    without the full-size map: the pixels are looked up in the scores themselves. Where both
    resizes change the size, the smoothing of the first one is left out.

    Args:
        scores: (1, K, h, w) logits.
        geometry: where they belong.
        align_corners: convention of the resizes.
        stride: pixels of the original image.
    """
    sampled = scores.detach().float()
    left, _, top, _ = geometry.padding
    for axis, offset, flip in ((2, top, 'vertical'), (3, left, 'horizontal')):
        side = axis - 2
        size, inner = geometry.final_size[side], geometry.image_size[side]
        place = torch.arange(0, size, stride, dtype=torch.float32, device=scores.device)
        place = _source_place(place, inner, size, align_corners=align_corners)
        if geometry.flip == flip:
            place = inner - 1 - place
        source = scores.shape[axis]
        outer = geometry.input_size[side]
        place = _source_place(place + offset, source, outer, align_corners=align_corners)
        sampled = sample_axis(sampled, place, axis)
    return sampled[0].sigmoid() if sampled.shape[1] == 1 else sampled[0].softmax(0)


def _source_place(place: Tensor, source: int, target: int, *, align_corners: bool) -> Tensor:
    """Where places of a resized side of ``target`` pixels lie on the ``source`` pixels."""
    if align_corners:
        return place * ((source - 1) / max(target - 1, 1))
    return (place + 0.5) * (source / target) - 0.5


def fast_argmax(scores: Tensor) -> Tensor:
    """Arg-max over the first dimension: (K, H, W) -> (H, W) int64; 10 times torch's speed.

    A maximum over the outer dimension is fast and finding it again is too; ``argmax`` is not.
    """
    classes = len(scores)
    kind = torch.uint8 if classes < 2**8 else torch.int16
    rank = torch.arange(classes, 0, -1, dtype=kind, device=scores.device)[:, None, None]
    hits = (scores == scores.amax(0)).view(torch.uint8).to(kind)
    best = hits.mul_(rank).amax(0)
    if not best.all():  # only NaN equals nothing
        return scores.argmax(0)
    return classes - best.long()


def _label_map_by_classes(
    scores: Tensor, geometry: OutputGeometry, *, align_corners: bool
) -> Tensor:
    """(K, h, w) -> (H, W): as many classes at a time as memory is granted for."""
    sizes = (geometry.input_size, geometry.final_size)
    plane = max(height * width for height, width in sizes) * scores.element_size()
    limit = CHUNK_BYTES['cpu' if scores.device.type == 'cpu' else 'cuda']
    # fewer channels than that might be resized with other roundings
    step = max(MANY_CHANNELS, limit // plane)
    best: Tensor | None = None
    for start in range(0, len(scores), step):
        start = max(0, min(start, len(scores) - step))
        part = resize_to_original(
            scores[None, start : start + step], geometry, align_corners=align_corners
        )[0]
        value, index = part.max(0)
        if best is None:
            best, labels = value, index
        else:
            labels = torch.where(value > best, index + start, labels)
            best = torch.maximum(best, value)
    return labels


@dataclasses.dataclass(frozen=True)
class _Resize:
    """One bilinear resize whose rows can be had one by one."""

    size: tuple[int, int]
    rows: RowPlan | None  # None: the height stays
    align_corners: bool

    @classmethod
    def plan(
        cls,
        source: tuple[int, int],
        target: tuple[int, int],
        *,
        align_corners: bool,
        channels: int,
    ) -> '_Resize | None':
        """The resize from ``source`` to ``target`` (h, w); None if its bits cannot be had."""
        rows = None
        if tuple(source) != tuple(target) and target[1] <= SMALL_OUTPUT:
            return None
        if source[0] != target[0]:
            rows = row_plan(source[0], target[0], align_corners, min(channels, MANY_CHANNELS))
            if rows is None:
                return None
        return cls((target[0], target[1]), rows, align_corners)

    def needed(self, start: int, stop: int) -> tuple[int, int]:
        """First source row, and one past the last, that target rows start..stop need."""
        return (start, stop) if self.rows is None else self.rows.needed(start, stop)

    def apply(self, part: Tensor, *, start: int, stop: int, offset: int) -> Tensor:
        """Rows start..stop, given the source rows (K, n, w) from ``offset`` on."""
        if part.shape[2] != self.size[1]:
            size = (part.shape[1], self.size[1])
            part = F.interpolate(
                part[None], size, mode='bilinear', align_corners=self.align_corners
            )[0]
        if self.rows is None:
            return part
        return self.rows.rows(part, start=start, stop=stop, offset=offset)


@dataclasses.dataclass(frozen=True)
class RowTiledResize:
    """:func:`resize_to_original` followed by arg-max, a strip of final rows at a time."""

    geometry: OutputGeometry
    to_input: _Resize
    to_output: _Resize

    @classmethod
    def plan(
        cls, scores: Tensor, geometry: OutputGeometry, *, align_corners: bool
    ) -> 'RowTiledResize | None':
        """RowTiledResize for ``scores`` (N, K, h, w); None where their bits cannot be had."""
        if scores.device.type != 'cpu' or scores.dtype != torch.float32:
            return None
        if align_corners not in (True, False):  # not made by F.interpolate
            return None
        plan = functools.partial(
            _Resize.plan, align_corners=align_corners, channels=scores.shape[1]
        )
        to_input = plan((scores.shape[2], scores.shape[3]), geometry.input_size)
        to_output = plan(geometry.image_size, geometry.final_size)
        return None if to_input is None or to_output is None else cls(geometry, to_input, to_output)

    def image_rows(self, scores: Tensor, first: int, last: int) -> Tensor:
        """Rows first..last of :func:`resize_to_input`, (K, last - first, W), of (K, h, w)."""
        left, _, top, _ = self.geometry.padding
        height, width = self.geometry.image_size
        upside_down = self.geometry.flip == 'vertical'
        low, high = (height - last, height - first) if upside_down else (first, last)
        low, high = low + top, high + top
        offset, end = self.to_input.needed(low, high)
        part = self.to_input.apply(scores[:, offset:end], start=low, stop=high, offset=offset)
        part = part[:, :, left : left + width]
        if self.geometry.flip is None:
            return part
        return part.flip(1 if upside_down else 2)

    def rows(self, scores: Tensor, start: int, stop: int) -> Tensor:
        """Rows start..stop of :func:`resize_to_original`, (K, stop - start, W), of (K, h, w)."""
        first, last = self.to_output.needed(start, stop)
        part = self.image_rows(scores, first, last)
        return self.to_output.apply(part, start=start, stop=stop, offset=first)

    def ranges(self, classes: int) -> Iterator[tuple[int, int]]:
        """(start, stop) of the strips, so that K rows of float32 take about STRIP_BYTES."""
        height, width = self.geometry.final_size
        widest = max(width, self.geometry.input_size[1])
        step = max(1, STRIP_BYTES // (classes * widest * 4))
        for start in range(0, height, step):
            yield start, min(start + step, height)

    def label_map(self, scores: Tensor) -> Tensor:
        """(K, h, w) -> (H, W) int64."""
        labels = torch.empty(self.geometry.final_size, dtype=torch.int64)
        for start, stop in self.ranges(len(scores)):
            labels[start:stop] = fast_argmax(self.rows(scores, start, stop))
        return labels
