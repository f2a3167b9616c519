"""How well boundaries and directions are predicted, as counts that add up over pictures.

Legend: N maps, H, W size in pixels.
"""

from torch import Tensor, stack

FIGURES = (
    'boundary_f',
    'boundary_precision',
    'boundary_recall',
    'direction',
    'direction_predicted',
)
"""Names of :func:`boundary_figures`, in order."""


def boundary_counts(
    boundary: Tensor,
    directions: Tensor,
    true_boundary: Tensor,
    true_directions: Tensor,
    *,
    ignore_index: int = 255,
) -> Tensor:
    """Pixels of each kind, (5,) int64, for :func:`boundary_figures`; counts may be added up.

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


def boundary_figures(counts: Tensor) -> Tensor:
    """``FIGURES`` as fractions of 1, (5,) float32; 0 where there is nothing to divide by.

    Precision, recall and F-score are those of the boundary pixels; ``direction`` is the share of
    right directions on the boundary of the ground truth, ``direction_predicted`` on the predicted
    one, the pixels that will be moved.

    Args:
        counts: (5,) integers of :func:`boundary_counts`.
    """
    hits, found, there, right_there, right_found = counts.float()
    parts = stack([2 * hits, hits, hits, right_there, right_found])
    wholes = stack([found + there, found, there, there, found])
    return parts / wholes.clamp(min=1)
