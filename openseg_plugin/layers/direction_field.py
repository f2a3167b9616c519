"""Direction fields of SegFix: angle, direction class, pixel offset, training targets, flips.

SegFix (Yuan, Xie, Chen, Wang, "SegFix: Model-Agnostic Boundary Refinement for Segmentation", ECCV
2020, Sec. 3) moves a boundary pixel one step towards the inside of its region and takes the label
found there. Facts of openseg.pytorch (commit aefc755) on bins, vectors and stored bytes. Differs
on purpose: :func:`hflip_angles` flips purely horizontal directions too.

Legend: H, W size in pixels, D number of direction classes. Rows grow downwards: an offset is
(rows, columns), an angle atan2(rows, columns) in degrees, so 0 points right and 90 points down.

Every function takes tensors on any device or numpy arrays and returns the kind it was given.

Beside them the two losses SegFix is trained with: openseg.pytorch (commit aefc755,
``lib/loss/loss_helper.py``): cross entropies whose class weights
are counted anew in every batch. The direction loss looks only at pixels where the network itself
predicts boundary. Differs on purpose: where no such pixel is left the original divides by zero;
here the direction loss is zero, with gradients of zero.

Legend: N batch, D direction classes, h, w size of the outputs, H, W of the targets.
"""

from collections.abc import Callable
from functools import lru_cache, wraps
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, stack

from openseg_plugin.layers.resize import resize_bilinear

NUM_DIRECTIONS = (4, 8, 16, 32)
"""Numbers of direction classes that have a table of vectors."""

_DIAGONALS = ((-1, -1), (-1, 1), (1, 1), (1, -1))
_AXES = ((0, -1), (-1, 0), (0, 1), (1, 0))


def _any_array(function: Callable) -> Callable:
    """Let a function of tensors take numpy arrays as well; then it returns numpy arrays."""

    def as_tensor(value: Any) -> Any:
        if isinstance(value, Tensor) or not hasattr(value, '__array__'):
            return value
        # torch warns about memory that it must not write to (images are read that way)
        return torch.as_tensor(value if value.flags.writeable else value.copy())

    def as_array(value: Any) -> Any:
        if isinstance(value, tuple):
            return tuple(as_array(item) for item in value)
        return value.numpy()

    @wraps(function)
    def call(*args: object, **options: object) -> object:
        if any(isinstance(arg, Tensor) for arg in args):
            return function(*args, **options)
        return as_array(function(*(as_tensor(arg) for arg in args), **options))

    return call


@lru_cache
def direction_vectors(
    num_directions: int = 8, *, align_axis: bool = False
) -> tuple[tuple[int, int], ...]:
    """(rows, columns) step of each direction class, in order of growing angle.

    8, 16 and 32 directions walk the square ring of radius 1, 2 or 4 from (0, -radius) upwards
    and clockwise; 4 directions are the diagonals, or the axes with ``align_axis``.

    Raises:
        ValueError: for a number of directions other than 4, 8, 16, 32.
    """
    if num_directions not in NUM_DIRECTIONS:
        raise ValueError(
            f'num_directions={num_directions}: SegFix has {NUM_DIRECTIONS} directions; this is '
            'not the number of classes of the dataset'
        )
    if num_directions == 4:
        return _AXES if align_axis else _DIAGONALS
    radius = num_directions // 8
    edge = range(-radius, radius)
    top = [(-radius, column) for column in edge]
    right = [(row, radius) for row in edge]
    bottom = [(-row, -column) for row, column in top]
    left = [(-row, -column) for row, column in right]
    ring = [*top, *right, *bottom, *left]
    start = ring.index((0, -radius))
    return tuple(ring[start:] + ring[:start])


@_any_array
def decode_angles(dir_deg: Tensor) -> Tensor:
    """Degrees in [-180, 180], int16, of stored direction bytes 0..180 (two degrees each)."""
    return dir_deg.to(torch.int16) * 2 - 180


@_any_array
def angle_to_direction(
    angles: Tensor, *, num_directions: int = 8, align_axis: bool = False
) -> Tensor:
    """Direction class of each angle, uint8 in 0..D-1.

    Class i holds the angles within half a step of -180 + i * 360 / D, the upper bound included
    and the lower not; 4 directions without ``align_axis`` are the quadrants between the axes.

    Args:
        angles: any shape, degrees in [-180, 180].
        num_directions: D.
        align_axis: only for D = 4: left, up, right, down instead of the diagonals.
    """
    direction_vectors(num_directions, align_axis=align_axis)
    step = 360 / num_directions
    turns = (angles.to(torch.float32) + 180) / step
    if num_directions == 4 and not align_axis:
        return turns.floor().clamp(max=3).to(torch.uint8)
    return ((turns - 0.5).ceil() % num_directions).to(torch.uint8)


@_any_array
def direction_to_offset(
    directions: Tensor,
    boundary: Tensor | None = None,
    *,
    num_directions: int = 8,
    align_axis: bool = False,
) -> Tensor:
    """One step in each pixel's direction, (..., H, W, 2) int8, zero off the boundary.

    Args:
        directions: (..., H, W) direction classes; any other value (ignored pixels) gives zero.
        boundary: (..., H, W), nonzero where pixels move; None moves every pixel with a direction.
            A target's ignored pixels (255) have no direction and so stay.
        num_directions: D.
        align_axis: see :func:`direction_vectors`.
    """
    vectors = (*direction_vectors(num_directions, align_axis=align_axis), (0, 0))
    table = torch.tensor(vectors, dtype=torch.int8, device=directions.device)
    moves = (directions >= 0) & (directions < num_directions)
    if boundary is not None:
        moves = moves & (boundary != 0)
    return table[torch.where(moves, directions.long(), num_directions)]


@_any_array
def boundary_targets(
    depth: Tensor,
    angles: Tensor,
    labels: Tensor,
    *,
    num_directions: int = 8,
    min_distance: int = 0,
    max_distance: int = 5,
    align_axis: bool = False,
    ignore_index: int = 255,
) -> tuple[Tensor, Tensor]:
    """What the two outputs of SegFix are trained on.

    Args:
        depth: (..., H, W) uint8, distance to the region's edge in pixels, fraction cut.
        angles: (..., H, W) degrees in [-180, 180], see :func:`decode_angles`.
        labels: (..., H, W) train ids; only ``ignore_index`` matters.
        num_directions: D.
        min_distance: smallest depth that counts as boundary.
        max_distance: largest one; inclusive, so 5 means a true distance below 6 pixels.
        align_axis: see :func:`direction_vectors`.
        ignore_index: 0..255, marks ignored pixels in ``labels`` and in the results.

    Returns:
        Boundary map (1 boundary, 0 interior) and direction map (0..D-1, everywhere, not only on
        the boundary), both (..., H, W) uint8 with ``ignore_index`` where the label is ignored.
    """
    ignored = labels == ignore_index
    boundary = ((depth >= min_distance) & (depth <= max_distance)).to(torch.uint8)
    directions = angle_to_direction(angles, num_directions=num_directions, align_axis=align_axis)
    return (
        boundary.masked_fill(ignored, ignore_index),
        directions.masked_fill(ignored, ignore_index),
    )


@_any_array
def hflip_angles(angles: Tensor, *, keep_horizontal: bool = False) -> Tensor:
    """Angle map of the horizontally flipped image, dtype of ``angles``.

    Args:
        angles: (..., H, W) degrees in [-180, 180].
        keep_horizontal: leave 0 and +-180 as they are, as openseg.pytorch does: a pixel that
            points right still points right in the flipped image, which is wrong. Only for
            comparing with the original.
    """
    half_turn = torch.where(angles >= 0, 180, -180).to(angles.dtype)
    flipped = half_turn - angles
    if keep_horizontal:
        flipped = torch.where(angles % 180 == 0, angles, flipped)
    return flipped.flip(-1)


BOUNDARY_METRICS = (
    'boundary_f',
    'boundary_precision',
    'boundary_recall',
    'direction',
    'direction_predicted',
)
"""Names of :func:`boundary_metrics`, in order."""


def boundary_counts(
    boundary: Tensor,
    directions: Tensor,
    true_boundary: Tensor,
    true_directions: Tensor,
    *,
    ignore_index: int = 255,
) -> Tensor:
    """Pixels of each kind, (5,) int64, for :func:`boundary_metrics`; counts may be added up.

    Args:
        boundary: (N, H, W), nonzero where a boundary is predicted.
        directions: (N, H, W), predicted direction class everywhere.
        true_boundary: (N, H, W), 1 boundary, 0 interior, or ``ignore_index``.
        true_directions: (N, H, W) direction class or ``ignore_index``.
        ignore_index: marks pixels that do not count.
    """
    counted = true_boundary != ignore_index
    found, there = (boundary != 0) & counted, true_boundary == 1
    right = (directions == true_directions) & counted
    kinds = (found & there, found, there, right & there, right & found)
    hits, found, there, right_there, right_found = (kind.sum() for kind in kinds)
    return stack([hits, found, there, right_there, right_found])


def boundary_metrics(counts: Tensor) -> Tensor:
    """``BOUNDARY_METRICS`` as fractions of 1, (5,) float32; 0 where there is nothing to divide by.

    Precision, recall and F-score are those of the boundary pixels; ``direction`` is the fraction of
    right directions on the boundary of the ground truth, ``direction_predicted`` on the predicted
    one, the pixels that will be moved.

    Args:
        counts: (5,) integers of :func:`boundary_counts`.
    """
    hits, found, there, right_there, right_found = counts.float()
    parts = stack([2 * hits, hits, hits, right_there, right_found])
    wholes = stack([found + there, found, there, there, found])
    return parts / wholes.clamp(min=1)


def rarity_weights(target: Tensor, num_classes: int, *, ignore_index: int = 255) -> Tensor:
    """Weight of each class, 1 - its fraction of the pixels of the batch: (num_classes,) float32.

    Args:
        target: integers of any shape; ``ignore_index`` does not count.
        num_classes: values are 0 .. num_classes - 1.
        ignore_index: see above.
    """
    kept = target[target != ignore_index].long()
    counts = torch.bincount(kept, minlength=num_classes).float()
    return 1 - counts / counts.sum().clamp(min=1)


def segfix_losses(
    boundary_logits: Tensor,
    direction_logits: Tensor,
    boundary: Tensor,
    directions: Tensor,
    *,
    threshold: float = 0.5,
    ignore_index: int = 255,
) -> tuple[Tensor, Tensor]:
    """Boundary loss and direction loss, two scalars.

    Args:
        boundary_logits: (N, 2, h, w).
        direction_logits: (N, D, h, w).
        boundary: (N, H, W), 1 boundary, 0 interior, or ``ignore_index``.
        directions: (N, H, W) direction class 0..D-1 or ``ignore_index``.
        threshold: the direction counts where the predicted boundary probability is above it.
        ignore_index: see above.
    """
    size = boundary.shape[-2:]
    boundary_logits = resize_bilinear(boundary_logits, size, align_corners=True)
    direction_logits = resize_bilinear(direction_logits, size, align_corners=True)
    probability = boundary_logits.detach().softmax(dim=1)[:, 1]
    directions = directions.masked_fill(probability <= threshold, ignore_index)
    return (
        _weighted_cross_entropy(boundary_logits, boundary, ignore_index),
        _weighted_cross_entropy(direction_logits, directions, ignore_index),
    )


def _weighted_cross_entropy(logits: Tensor, target: Tensor, ignore_index: int) -> Tensor:
    """Cross entropy with :func:`rarity_weights`; zero where no pixel has a weight."""
    weights = rarity_weights(target, logits.shape[1], ignore_index=ignore_index)
    sums = F.cross_entropy(
        logits,
        target.long(),
        weight=weights.to(logits.dtype),
        ignore_index=ignore_index,
        reduction='sum',
    )
    counted = target != ignore_index
    total = weights[torch.where(counted, target, 0).long()][counted].sum()
    return sums / torch.where(total > 0, total, 1)
