"""From outlines on the canvas to polygons of the annotation file: whole pixels, inside it."""

import numpy as np

_SMALLEST = 3.0  # square pixels; smaller objects are not annotated


def to_polygon(points: np.ndarray, *, factor: int, size: tuple[int, int]) -> list[list[int]] | None:
    """Canvas outline (n, 2) -> [[x, y], ...] in a picture of ``size`` (H, W); None if too small.

    Args:
        points: canvas pixels.
        factor: supersampling; canvas pixel factor * i + (factor - 1) / 2 is the middle of pixel i.
        size: of the final picture.
    """
    height, width = size
    inside = clip((np.asarray(points) - (factor - 1) / 2) / factor, width - 1, height - 1)
    if len(inside) < 3:
        return None
    corners = np.round(inside).astype(int)
    corners = corners[np.any(corners != np.roll(corners, 1, axis=0), axis=1)]
    if len(corners) < 3 or area(corners) < _SMALLEST:
        return None
    return corners.tolist()


def area(points: np.ndarray) -> float:
    """Area of a polygon (n, 2) by the shoelace formula."""
    x, y = np.asarray(points, float).T
    return abs(float(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1)))) / 2


def clip(points: np.ndarray, right: float, bottom: float) -> np.ndarray:
    """Part of a polygon (n, 2) inside [0, right] x [0, bottom]: Sutherland and Hodgman (1974)."""
    if points.min() > -1 and np.all(points.max(0) < (right + 1, bottom + 1)):
        return np.clip(points, 0, (right, bottom))  # out by a rounding at most
    for axis, bound, sign in ((0, 0, 1), (0, right, -1), (1, 0, 1), (1, bottom, -1)):
        distance = sign * (points[:, axis] - bound) if len(points) else np.zeros(0)
        kept = []
        for i in range(len(points)):
            here, there = distance[i - 1], distance[i]
            if (here >= 0) != (there >= 0):
                kept.append(points[i - 1] + (points[i] - points[i - 1]) * here / (here - there))
            if there >= 0:
                kept.append(points[i])
        points = np.array(kept).reshape(-1, 2)
    return points
