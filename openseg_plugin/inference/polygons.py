"""Label maps as polygons with holes, for labelme and COCO, so that people can correct them.

Outlines run along the edges between pixels of different classes. Every class is one set of
regions that are connected by their sides; a hole is a ring inside a region.

A polygon format without holes (labelme) draws later shapes over earlier ones, so regions are given
from the outermost to the innermost: what lies in a hole of another comes after it.

H, W: size of the label map in pixels; x, y: coordinates with pixel centers at whole numbers.
"""

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from openseg_plugin.errors import ConfigError
from openseg_plugin.utils.download import is_address

FORMATS = ('labelme', 'coco')
_ASIDE = 0.25  # pixels


@dataclass(frozen=True)
class Shape:
    """One connected region of a class.

    Attributes:
        label: class id.
        outline: (P, 2) float32 x, y.
        holes: the rings inside, each (P, 2).
        area: pixels, holes left out.
    """

    label: int
    outline: np.ndarray
    holes: list[np.ndarray] = field(default_factory=list)
    area: int = 0


def shapes_of(
    labels: np.ndarray, *, tolerance: float = 1.0, around_pixels: bool = False
) -> list[Shape]:
    """Regions of a label map (H, W), the outermost and largest first.

    Args:
        labels: class ids.
        tolerance: largest distance between the outlines of two neighbors in pixels; 0 keeps all
            points. Each is simplified by itself, so each gets half of it.
        around_pixels: outlines as COCO has them, where pixel x reaches from x to x + 1 and belongs
            to what covers its center; else they lead through the centers of the outer pixels, at
            whole numbers, and these belong to them.

    Raises:
        ConfigError: ``tolerance`` is below 0.
    """
    if tolerance < 0:
        raise ConfigError(f'--tolerance {tolerance}: give 0 or more pixels')
    shapes: list[Shape] = []
    for label in np.unique(labels):
        mask = (labels == label).astype(np.uint8)
        _, regions, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=4)
        for index in range(1, len(stats)):
            left, top, width, height, area = (int(value) for value in stats[index])
            window = np.s_[top : top + height, left : left + width]
            part = (regions[window] == index).astype(np.uint8)
            shapes.append(_shape(part, int(label), (left, top), area, tolerance, around_pixels))
    # what encloses another region encloses its box, too, and has a larger one
    shapes.sort(key=_extent, reverse=True)
    return shapes


def _extent(shape: Shape) -> float:
    spread = shape.outline.max(0) - shape.outline.min(0) + 1
    return float(spread[0] * spread[1])


def _shape(
    part: np.ndarray,
    label: int,
    offset: tuple[int, int],
    area: int,
    tolerance: float,
    around_pixels: bool,
) -> Shape:
    # the outer quarters of the outer pixels of a region enclose the centers of these
    parts = 2 if around_pixels else 1
    part = part.repeat(parts, 0).repeat(parts, 1)
    corner = np.add(offset, (parts - 1) / 4)
    contours, hierarchy = cv2.findContours(part, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    outline: np.ndarray | None = None
    holes = []
    for points, (_, _, _, parent) in zip(contours, hierarchy[0]):
        limit = parts * tolerance / 2
        ring = cv2.approxPolyDP(points, limit, True) if tolerance > 0 else points
        ring = (ring[:, 0] / parts + corner).astype(np.float32)
        if parent < 0 and (outline is None or len(points) > len(outline)):
            outline = ring
        elif parent >= 0:
            holes.append(ring)
    assert outline is not None, 'a region has pixels'
    return Shape(label, outline, holes, area)


def labelme(
    shapes: Sequence[Shape],
    classes: Sequence[str],
    *,
    image_name: str,
    size: tuple[int, int],
) -> dict[str, Any]:
    """A labelme file: what lies in holes follows what has them, and is drawn over it.

    Args:
        shapes: from :func:`shapes_of`.
        classes: names.
        image_name: path of the image, as seen from the file.
        size: (H, W).
    """
    return {
        'version': '5.5.0',
        'flags': {},
        'shapes': [
            {
                'label': classes[shape.label],
                'points': _drawable(shape.outline),
                'group_id': None,
                'shape_type': 'polygon',
                'flags': {},
            }
            for shape in shapes
        ],
        'imagePath': image_name,
        'imageData': None,
        'imageHeight': size[0],
        'imageWidth': size[1],
    }


def _drawable(outline: np.ndarray) -> list[list[float]]:
    """The outline with an area: those of regions one pixel wide go forth and back and have none.

    Readers refuse such polygons; a corner less than half a pixel away changes no pixel.
    """
    points = outline.tolist()
    if len(points) > 2 and cv2.contourArea(outline) > 0:
        return points
    (x, y), (_, last_y) = points[0], points[-1]
    if len(points) == 1:
        return [[x, y], [x + _ASIDE, y], [x, y + _ASIDE]]
    return [*points, [x + _ASIDE, y] if last_y != y else [x, y + _ASIDE]]


def coco(
    shapes: Sequence[Shape], *, image: dict[str, Any], first_id: int = 1
) -> list[dict[str, Any]]:
    """COCO annotations of one image; regions with holes are run lengths, which alone can have them.

    Args:
        shapes: from :func:`shapes_of`, around pixels.
        image: with ``id``, ``height`` and ``width``.
        first_id: number of the first annotation.
    """
    annotations = []
    for index, shape in enumerate(shapes):
        low, high = np.floor(shape.outline.min(0)), np.floor(shape.outline.max(0))
        segmentation: Any = [np.ravel(_drawable(shape.outline)).tolist()]
        if shape.holes:
            segmentation = _run_lengths(shape, (image['height'], image['width']))
        annotations.append(
            {
                'id': first_id + index,
                'image_id': image['id'],
                'category_id': shape.label + 1,
                'segmentation': segmentation,
                'area': shape.area,
                'bbox': [*low.tolist(), *(high - low + 1).tolist()],
                'iscrowd': int(bool(shape.holes)),
            }
        )
    return annotations


def _run_lengths(shape: Shape, size: tuple[int, int]) -> dict[str, Any]:
    """Uncompressed run lengths, down the columns, zeros first."""
    mask = np.zeros(size, np.uint8)
    cv2.fillPoly(mask, [shape.outline.astype(np.int32)], 1)
    for hole in shape.holes:  # the ring itself belongs to the region
        inside = np.zeros(size, np.uint8)
        cv2.fillPoly(inside, [hole.astype(np.int32)], 1)
        cv2.polylines(inside, [hole.astype(np.int32)], True, 0)
        mask[inside == 1] = 0
    flat = mask.ravel(order='F')
    changes = np.flatnonzero(np.diff(flat)) + 1
    counts = np.diff(np.concatenate([[0], changes, [flat.size]])).tolist()
    return {'size': list(size), 'counts': [0, *counts] if flat[0] else counts}


def coco_file(
    images: Sequence[tuple[str, tuple[int, int], Sequence[Shape]]], classes: Sequence[str]
) -> dict[str, Any]:
    """A COCO file of several images: file name, (H, W) and shapes around pixels of each."""
    content: dict[str, Any] = {
        'images': [],
        'annotations': [],
        'categories': [{'id': i + 1, 'name': name} for i, name in enumerate(classes)],
    }
    for number, (name, (height, width), shapes) in enumerate(images, start=1):
        image = {'id': number, 'file_name': name, 'height': height, 'width': width}
        content['images'].append(image)
        content['annotations'] += coco(
            shapes, image=image, first_id=len(content['annotations']) + 1
        )
    return content


def as_text(content: dict[str, Any]) -> str:
    """JSON, with names in their own letters."""
    return json.dumps(content, ensure_ascii=False)


def relative_image(image: str, file: Path) -> str:
    """Path of an image as seen from the folder of a file; absolute on another drive.

    Web addresses stay as they are.
    """
    if is_address(image):
        return image
    try:
        return Path(os.path.relpath(os.path.abspath(image), file.parent.resolve())).as_posix()
    except ValueError:
        return os.path.abspath(image)
