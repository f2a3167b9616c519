"""How well predicted edges fit: boundary F-score, boundary IoU and trimap IoU of one label map.

Boundary F: Perazzi et al., CVPR 2016 (DAVIS), in the two forms that the segmentation projects
publish; openseg.pytorch (``F1_running_score``, commit aefc755) and NVIDIA's hierarchical
multi-scale attention (``f_boundary.py``, commit 7726b14) agree in everything but the default
radius. Boundary IoU: Cheng et al., CVPR 2021, Sec. 3. Trimap IoU: Kohli et al., IJCV 2009.

Legend: H, W size in pixels, K classes. Everything is counted in whole pixels, so sums over
images do not depend on their order.
"""

import math
from collections.abc import Iterator

import cv2
import numpy as np

_Box = tuple[slice, slice]


def boundary_radius(threshold: float, size: tuple[int, int]) -> int:
    """Radius in pixels: ``threshold`` from 1 on, below it a fraction of the diagonal, rounded up.

    Args:
        threshold: above 0; 0.00088 is 3 pixels at 1024 x 2048.
        size: (H, W).
    """
    return int(threshold) if threshold >= 1 else math.ceil(threshold * math.hypot(*size))


def boundary_map(mask: np.ndarray) -> np.ndarray:
    """One pixel wide edge of a mask: (H, W) uint8, 0 or 1.

    A pixel is edge where it differs from its right, lower or lower right neighbor; in the last
    row and column only the neighbor along the border counts, and the last pixel is never edge.

    Args:
        mask: (H, W) uint8, 0 or 1.
    """
    edge = np.zeros_like(mask)
    edge[:, :-1] |= mask[:, :-1] ^ mask[:, 1:]
    edge[:-1, :] |= mask[:-1, :] ^ mask[1:, :]
    edge[:-1, :-1] |= mask[:-1, :-1] ^ mask[1:, 1:]
    return edge


def boundary_f_scores(
    prediction: np.ndarray,
    label: np.ndarray,
    num_classes: int,
    *,
    radius: int,
    ignore_index: int = 255,
) -> np.ndarray:
    """Precision, recall and F of every class's edge: (K, 3) float64.

    A predicted edge pixel is right with a true one within ``radius`` (a disk), and the other way
    round. A class whose edge is in neither map scores 1, 1, 1; only predicted 0, 1, 0; only in
    the label 1, 0, 0. Ignored pixels belong to no class in both maps.

    Args:
        prediction: (H, W) class numbers; others belong to no class.
        label: (H, W) class numbers and ``ignore_index``.
        num_classes: K.
        radius: pixels.
        ignore_index: marks ignored pixels of ``label``.
    """
    scores = np.ones((num_classes, 3))
    maps = _cleared(prediction, label, num_classes, ignore_index)
    for number, box in _class_boxes(maps, num_classes, margin=radius + 1):
        predicted, true = (boundary_map((one[box] == number).astype(np.uint8)) for one in maps)
        scores[number] = precision_recall_f(predicted, true, radius=radius)
    return scores


def precision_recall_f(
    predicted: np.ndarray, true: np.ndarray, *, radius: int
) -> tuple[float, float, float]:
    """Precision, recall and F of one edge map against another, both (H, W) uint8, 0 or 1."""
    num_predicted, num_true = cv2.countNonZero(predicted), cv2.countNonZero(true)
    if not num_predicted or not num_true:
        precision, recall = float(not num_predicted), float(not num_true)
    else:
        precision = cv2.countNonZero(predicted & _within(true, radius)) / num_predicted
        recall = cv2.countNonZero(true & _within(predicted, radius)) / num_true
    total = precision + recall
    return precision, recall, 2 * precision * recall / total if total else 0.0


def boundary_width(ratio: float, size: tuple[int, int]) -> int:
    """Width of the band of boundary IoU in pixels: a fraction of the diagonal, at least 1."""
    return max(round(ratio * math.hypot(*size)), 1)


def boundary_areas(
    prediction: np.ndarray,
    label: np.ndarray,
    num_classes: int,
    *,
    width: int,
    ignore_index: int = 255,
) -> np.ndarray:
    """Intersection and union of the inner edge bands of every class: (2, K) int64.

    The band of a mask holds its pixels that ``width`` erosions by a 3 x 3 square take away; the
    outside of the image erodes too. Ignored pixels belong to no class in both maps.

    Args:
        prediction: (H, W) class numbers.
        label: (H, W) class numbers and ``ignore_index``.
        num_classes: K.
        width: pixels.
        ignore_index: marks ignored pixels of ``label``.
    """
    areas = np.zeros((2, num_classes), np.int64)
    maps = _cleared(prediction, label, num_classes, ignore_index)
    for number, box in _class_boxes(maps, num_classes, margin=1):
        first, second = (inner_band(one[box] == number, width) for one in maps)
        areas[:, number] = cv2.countNonZero(first & second), cv2.countNonZero(first | second)
    return areas


def inner_band(mask: np.ndarray, width: int) -> np.ndarray:
    """Pixels of a mask at most ``width`` pixels from its outside: (H, W) uint8, 0 or 1."""
    mask = np.ascontiguousarray(mask, np.uint8)
    padded = cv2.copyMakeBorder(mask, 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
    eroded = cv2.erode(padded, np.ones((3, 3), np.uint8), iterations=width)
    return mask - eroded[1:-1, 1:-1]


def trimap(label: np.ndarray, width: int) -> np.ndarray:
    """Pixels at most ``width`` pixels from a change of label: (H, W) bool.

    Both sides of the edge count, also edges of ignored pixels: some datasets draw their edges
    that way.

    Args:
        label: (H, W) class numbers.
        width: pixels, Euclidean; 1 takes the two pixels at the edge.
    """
    edge = np.zeros(label.shape, np.uint8)
    rows = label[:-1] != label[1:]
    columns = label[:, :-1] != label[:, 1:]
    edge[:-1] |= rows
    edge[1:] |= rows
    edge[:, :-1] |= columns
    edge[:, 1:] |= columns
    return _within(edge, width - 1).astype(bool)


def trimap_areas(
    prediction: np.ndarray,
    label: np.ndarray,
    num_classes: int,
    *,
    width: int,
    ignore_index: int = 255,
) -> np.ndarray:
    """Intersection and union of every class among the pixels near an edge: (2, K) int64.

    Args:
        prediction: (H, W) class numbers.
        label: (H, W) class numbers and ``ignore_index``; ignored pixels do not count.
        num_classes: K.
        width: pixels, see :func:`trimap`.
        ignore_index: marks ignored pixels of ``label``.
    """
    counted = trimap(label, width) & (label != ignore_index)
    predicted, true = (
        one[counted] for one in _cleared(prediction, label, num_classes, ignore_index)
    )
    hits, first, second = (
        np.bincount(values, minlength=num_classes + 1)[:num_classes]
        for values in (true[predicted == true], predicted, true)
    )
    return np.stack([hits, first + second - hits])


def _cleared(
    prediction: np.ndarray, label: np.ndarray, num_classes: int, ignore_index: int
) -> tuple[np.ndarray, np.ndarray]:
    """Both maps with K for pixels that are ignored or of no class, in the smallest type."""
    ignored = label == ignore_index
    dtype = np.uint8 if num_classes < 256 else np.int32
    first, second = (
        np.where(ignored | (one < 0) | (one >= num_classes), num_classes, one).astype(dtype)
        for one in (prediction, label)
    )
    return first, second


def _within(edge: np.ndarray, radius: int) -> np.ndarray:
    """Pixels within ``radius`` of an edge pixel: (H, W) uint8, 0 or 1."""
    if radius < 1:
        return edge
    if radius <= 3:  # a disk of up to 29 pixels is quicker moved over the map than measured
        steps = np.arange(-radius, radius + 1)
        disk = (steps[:, None] ** 2 + steps**2 <= radius**2).astype(np.uint8)
        return cv2.dilate(edge, disk)
    if not edge.any():
        return edge
    distance = cv2.distanceTransform(1 - edge, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    # squared distances are whole numbers, so nothing lies between radius and this bound
    return (distance <= radius + 1e-3).astype(np.uint8)


def _class_boxes(
    maps: tuple[np.ndarray, np.ndarray], num_classes: int, *, margin: int
) -> Iterator[tuple[int, _Box]]:
    """Every class that occurs in one of the maps, with the box around it plus a margin."""
    height, width = maps[0].shape
    present = np.flatnonzero(
        sum(np.bincount(one.reshape(-1), minlength=num_classes)[:num_classes] for one in maps)
    )
    for number in present:
        mask = (maps[0] == number) | (maps[1] == number)
        rows = np.flatnonzero(mask.any(axis=1))
        columns = np.flatnonzero(mask.any(axis=0))
        yield (
            int(number),
            (
                slice(max(rows[0] - margin, 0), min(rows[-1] + 1 + margin, height)),
                slice(max(columns[0] - margin, 0), min(columns[-1] + 1 + margin, width)),
            ),
        )
