"""Distance and direction maps from a label map: what a SegFix network learns to predict.

Rules of openseg.pytorch (commit aefc755): per region the distance to its edge, then a 5x5 extended
Sobel pair over the distance map, so a pixel's direction points to the inside of its region. The
border of the image is no edge, but the gradient sees zeros beyond it. Stored bytes: distance
cut to an integer and clipped to 250; direction ``floor((degrees + 180) / 2)``.

H, W: size of the map in pixels; rows grow downwards, angles are atan2(rows, columns).

A folder of label maps to a folder of SegFix training targets, ``.mat`` files as published.
"""

import dataclasses
import math
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from types import ModuleType
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor

from openseg_plugin.errors import DataError
from openseg_plugin.layers.distance_field import distance_gradient, extended_sobel, region_distance
from openseg_plugin.segfix import KINDS, METRICS, MIN_PIXELS
from openseg_plugin.segfix.offset_files import target_bytes
from openseg_plugin.segfix.regions import (
    check_kind,
    checked,
    inspect_labels,
    region_map,
)
from openseg_plugin.segfix.sources import label_files
from openseg_plugin.utils.batch import Output, raise_failures, refuse_input, run_all
from openseg_plugin.utils.images import read_label

_Box = tuple[slice, slice]

MAX_DEPTH = 250
NO_DIRECTION = 90
"""Direction byte of pixels without a region: 0 degrees, as atan2(0, 0)."""

# Degrees per radian as numpy's single precision has it: 180 over the rounded pi, one step below
# the rounded quotient. It decides the byte of angles that are whole degrees, such as 45.
_DEGREES = float(np.float32(180) / np.float32(np.pi))

# A region on less than a quarter of its box may be cheaper in parts; a part costs some calls, as
# much as so many pixels.
_SPARSE = 4
_PIECE_COST = 3000


def distance_and_direction(
    labels: np.ndarray | Tensor,
    kind: str = 'train',
    *,
    metric: str = 'euclidean',
    kernel_size: int = 5,
    void: Sequence[int] = (),
    min_pixels: int = MIN_PIXELS,
) -> tuple:
    """Distance map and direction map of a label map, both (H, W) uint8.

    Args:
        labels: (H, W) label map, array or tensor; a tensor's maps are made on its device.
        kind: meaning of its numbers, see ``segfix.regions.KINDS``.
        metric: 'euclidean' (exact) or 'taxicab' (rows plus columns, the chamfer L1 transform).
        kernel_size: odd side of the gradient window in pixels.
        void: further values that are void.
        min_pixels: classes on fewer pixels are left out.

    Returns:
        Depth in pixels (0 without a region, 1 next to the edge ... 250) and direction byte (0..180,
        ``layers.direction_field.decode_angles`` gives degrees), of the kind of ``labels``.

    Raises:
        ValueError: for another metric.
    """
    if metric not in METRICS:
        raise ValueError(f'metric={metric!r}: one of {METRICS} is needed')
    array = labels.cpu().numpy() if isinstance(labels, Tensor) else labels
    regions = region_map(array, kind, void=void, min_pixels=min_pixels)
    if not isinstance(labels, Tensor):
        return _fields(regions, kind, metric, kernel_size)
    if labels.is_cuda and metric == 'euclidean':
        return fields_of_regions(torch.from_numpy(regions).to(labels.device), kind, kernel_size)
    maps = _fields(regions, kind, metric, kernel_size)
    return tuple(torch.from_numpy(one).to(labels.device) for one in maps)


def _fields(
    regions: np.ndarray, kind: str, metric: str, kernel_size: int
) -> tuple[np.ndarray, np.ndarray]:
    """Both maps by OpenCV, piece by piece of every region."""
    row_kernel, column_kernel = (
        np.asarray(kernel, np.float32) for kernel in extended_sobel(kernel_size)
    )
    distance = np.zeros(regions.shape, np.float32)
    by_row, by_column = np.zeros_like(distance), np.zeros_like(distance)
    margin = kernel_size // 2 + 1  # one ring of edge pixels, and what the gradient window sees
    for number, box in enumerate(_ndimage().find_objects(regions), start=1):
        if box is None:
            continue
        pieces = _pieces(regions, number, _widened(box, margin), margin)
        for box, mask in pieces:
            cv2.copyTo(_distance(mask, metric), mask, distance[box])
        for box, mask in pieces:
            # the window sees the other pieces of the region too
            whole = mask if len(pieces) == 1 else _equals(regions[box], number)
            inside = cv2.copyTo(distance[box], whole)
            for kernel, gradient in ((row_kernel, by_row), (column_kernel, by_column)):
                slope = cv2.filter2D(inside, cv2.CV_32F, kernel, borderType=cv2.BORDER_CONSTANT)
                cv2.copyTo(slope, mask, gradient[box])
    depth = np.minimum(distance, MAX_DEPTH).astype(np.uint8)
    gradients = torch.from_numpy(by_row), torch.from_numpy(by_column)
    return depth, _direction_bytes(*gradients, kind).numpy()


def _pieces(regions: np.ndarray, number: int, box: _Box, margin: int) -> list[tuple[_Box, Any]]:
    """Boxes and masks (uint8, 0 or 255) that together hold a region.

    A region in parts far from each other is cut into its 8-connected parts: the pixel nearest to
    a part and outside of it is outside of the region too, or it would touch the part.

    Args:
        regions: (H, W) region numbers.
        number: the region.
        box: holds it, with a margin.
        margin: pixels around each piece.
    """
    mask = _equals(regions[box], number)
    if _SPARSE * cv2.countNonZero(mask) > mask.size:
        return [(box, mask)]
    # Outlines give the boxes of the parts in a tenth of the time that labelled parts need.
    outlines, nesting = cv2.findContours(mask, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    outer = [line for line, (*_, parent) in zip(outlines, nesting[0]) if parent < 0]
    inner = []
    for left, top, width, height in map(cv2.boundingRect, outer):
        inner.append(_widened((slice(top, top + height), slice(left, left + width)), margin))
    size = sum((rows.stop - rows.start) * (cols.stop - cols.start) for rows, cols in inner)
    if size + len(inner) * _PIECE_COST > mask.size:
        return [(box, mask)]
    _, parts = cv2.connectedComponentsWithAlgorithm(mask, 8, cv2.CV_32S, cv2.CCL_GRANA)
    pieces = []
    for line, part in zip(outer, inner):
        column, row = line[0, 0]
        own = _equals(parts[part], int(parts[row, column]))
        pieces.append((_inside(box, part), own))
    return pieces


def _equals(maps: np.ndarray, number: int) -> np.ndarray:
    """255 where ``maps`` (H, W) has this number, else 0."""
    # the stubs of OpenCV know arrays alone, while it takes a number as well
    return cv2.compare(maps, number, cv2.CMP_EQ)  # type: ignore[call-overload]


def _inside(box: _Box, part: _Box) -> _Box:
    """The slices of a box's part, of which all may end beyond the box, in the whole map."""
    rows, columns = (
        slice(whole.start + side.start, min(whole.start + side.stop, whole.stop))
        for whole, side in zip(box, part)
    )
    return rows, columns


def _widened(box: _Box, margin: int) -> _Box:
    rows, columns = (slice(max(side.start - margin, 0), side.stop + margin) for side in box)
    return rows, columns


def _direction_bytes(by_row: Tensor, by_column: Tensor, kind: str) -> Tensor:
    """Direction bytes of a gradient; torch's atan2 is 6 times as fast as numpy's."""
    if kind == 'instance':  # the original takes only the angle of instances in double precision
        by_row, by_column, degrees = by_row.double(), by_column.double(), 180 / math.pi
    else:
        degrees = _DEGREES
    # adding zero turns -0.0 into 0.0, which has another angle
    angles = torch.atan2(by_row + 0.0, by_column + 0.0).mul_(degrees)
    return angles.add_(180).mul_(0.5).to(torch.uint8)


def _ndimage() -> ModuleType:
    """scipy.ndimage, which is slow to import, for those alone who make targets."""
    import scipy.ndimage

    return scipy.ndimage


def _distance(mask: np.ndarray, metric: str) -> np.ndarray:
    """Distance of a mask's pixels to its outside, (h, w) float32; mask is uint8, 0 or 255."""
    if metric == 'taxicab':
        distance = _ndimage().distance_transform_cdt(mask, metric='taxicab')
        # without any outside the transform says -1: as far as can be
        return np.where(distance < 0, MAX_DEPTH, distance).astype(np.float32)
    if cv2.countNonZero(mask) < mask.size:
        distance = cv2.distanceTransform(mask, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
        # OpenCV's last step, the root, may be one digit off, and not twice the same: 5 becomes
        # 4.9999995, which is cut to 4. Squares are whole numbers.
        np.rint(np.multiply(distance, distance, out=distance), out=distance)
        return np.sqrt(distance, out=distance)
    # One region fills the image: scipy, and so the original, measures to a point above its
    # top left pixel.
    rows, columns = np.ogrid[1 : mask.shape[0] + 1, : mask.shape[1]]
    return np.hypot(rows, columns).astype(np.float32)


def fields_of_regions(regions: Tensor, kind: str, kernel_size: int) -> tuple[Tensor, Tensor]:
    """Both maps on the device of ``regions``: what happens to label maps on a GPU.

    Args:
        regions: (H, W) integers, 0 for no region, see ``segfix.regions.region_map``.
        kind: of the labels; decides the precision of the angle.
        kernel_size: odd side of the gradient window in pixels.
    """
    distance = region_distance(regions[None])
    gradient = distance_gradient(distance, regions[None], kernel_size=kernel_size)
    depth = distance.clamp(max=MAX_DEPTH).to(torch.uint8)
    return depth[0], _direction_bytes(*gradient, kind)[0]


@dataclasses.dataclass(frozen=True)
class TargetOptions:
    """How targets are made.

    Attributes:
        kind: of the label maps, one of ``regions.KINDS``; None infers it from the values.
        num_classes: of train ids; anything else in a map is refused.
        void: further values that are void.
        metric: 'euclidean' or 'taxicab'.
        kernel_size: odd side of the gradient window in pixels.
        min_pixels: classes on fewer pixels of an image are left out.
        workers: threads; None for one per core.
    """

    kind: str | None = None
    num_classes: int | None = None
    void: tuple[int, ...] = ()
    metric: str = 'euclidean'
    kernel_size: int = 5
    min_pixels: int = MIN_PIXELS
    workers: int | None = None


def make_targets(labels: Path, out: Path, options: TargetOptions) -> dict[str, Any]:
    """Distance and direction map of every label map below ``labels``.

    Returns:
        ``kind`` of the labels, and how many targets were ``made`` and ``kept`` as they were.

    Raises:
        DataError: the folder is not what it is said to be, or some of its files cannot be used;
            the targets of the others are kept.
    """
    refuse_input(out, labels)
    files = label_files(labels, options.kind, without=out)
    inspected = inspect_labels(files)
    kind = options.kind or inspected.inferred_kind()
    if kind is None:
        raise DataError(
            f'{labels} does not show by its values {inspected.values[:8]} what its numbers mean: '
            f'give --kind {"|".join(KINDS)}'
        )
    limits: dict[str, Any] = dict(num_classes=options.num_classes, void=options.void)
    check_kind(inspected, kind, labels, **limits)
    record = dataclasses.asdict(options) | dict(kind=kind, labels=str(labels.resolve()))
    record.pop('workers')
    output = Output(out, dict(record, void=list(options.void)))

    def make(path: Path) -> bool:
        to = PurePosixPath(path.relative_to(labels).with_suffix('.mat').as_posix())
        if output.is_done(to, [path]):
            return False
        label = checked(read_label(path), kind, path, **limits)
        maps = distance_and_direction(
            label,
            kind,
            metric=options.metric,
            kernel_size=options.kernel_size,
            void=options.void,
            min_pixels=options.min_pixels,
        )
        output.write(to, target_bytes(*maps))
        return True

    made, failures = run_all(make, files, workers=options.workers, title='targets')
    print(f'{labels}: {kind}, {KINDS[kind]}')
    print(f'{sum(made)} made, {len(made) - sum(made)} were there, {len(failures)} failed: {out}')
    raise_failures(failures, len(made), out)
    return dict(kind=kind, made=sum(made), kept=len(made) - sum(made))
