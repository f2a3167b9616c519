"""Regions in the JSON of Label Studio: polygons, boxes, ellipses and brush strokes.

Coordinates are per cent of the image. Brush strokes are run lengths of an RGBA image, of which the
opacity counts. Of several annotations of a task the first that was not cancelled is taken.
"""

import base64
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from openseg_plugin.converters.datasets.core.annotated import (
    Annotated,
    ShapeOptions,
    plan_annotated,
)
from openseg_plugin.converters.datasets.core.find import read_json, walk_files
from openseg_plugin.converters.datasets.core.pairs import (
    find_image,
    index_images,
    split_in_folders,
    split_in_name,
)
from openseg_plugin.converters.datasets.core.plan import UNDIVIDED, Plan, converter
from openseg_plugin.converters.datasets.core.shapes import Runs, Shape, steady, turned_box
from openseg_plugin.errors import DataError
from openseg_plugin.utils.files import IMAGE_ENDINGS, SPLITS

_LABELS = ('polygonlabels', 'rectanglelabels', 'ellipselabels', 'brushlabels', 'labels')
_CHANNELS = 4


@dataclass(frozen=True)
class LabelStudioOptions(ShapeOptions):
    """Options of the converter for Label Studio."""


@converter('label_studio', LabelStudioOptions, splits=SPLITS, default_splits=(), own=True)
def plan(src: Path, *, options: LabelStudioOptions, splits: tuple[str, ...]) -> Plan:
    """Your own regions, drawn with Label Studio: its JSON export and the images."""
    root = src if src.is_dir() else src.parent
    files = [src] if src.is_file() else walk_files(src, ('.json',))
    if not files:
        raise DataError(f'{src} has no .json file of Label Studio')
    index = index_images(root)
    images, several, without = [], 0, 0
    for path in files:
        for number, task in enumerate(_read(path)):
            results, count = _results(task)
            several += count > 1
            if results is None:
                without += 1
                results = []
            images.append(_annotated(task, number, results, path, root, index))
    if not images:
        raise DataError(f'{files[0]} lists no tasks')
    images.sort(key=lambda image: image.name)
    notices = []
    if several:
        notices.append(f'{several} tasks have several annotations: the first of each was taken')
    if without:
        notices.append(f'{without} tasks have no annotation: their labels are background')
    return plan_annotated(images, src, options, notices=notices, read=files)


def _read(path: Path) -> list[dict[str, Any]]:
    """Tasks of an export.

    Raises:
        DataError: it is not Label Studio's.
    """
    content = read_json(path)
    tasks = content if isinstance(content, list) else [content]
    if not all(isinstance(task, dict) and _image_of(task) for task in tasks):
        raise DataError(f'{path} is no export of Label Studio: a task names no image')
    return tasks


def _image_of(task: dict[str, Any]) -> str:
    """Address of a task's image: under ``data.image``, or another key with an image's ending."""
    data = task.get('data', task)
    if not isinstance(data, dict):
        return ''
    usual = [data.get(key) for key in ('image', 'img', 'image_url')]
    others = [v for v in data.values() if isinstance(v, str) and _name(v) is not None]
    return next((value for value in (*usual, *others) if isinstance(value, str)), '')


def _name(address: str) -> str | None:
    """Path in an address, with forward slashes, if it has the ending of an image."""
    path = _stored_address(address).replace('\\', '/')
    if '?d=' in path:  # files that the server was started beside
        path = path.partition('?d=')[2]
    path = re.sub(r'^\w+://[^/]*', '', path.partition('?')[0])
    return path if path.lower().endswith(IMAGE_ENDINGS) else None


def _stored_address(address: str) -> str:
    """The address of a file in a cloud storage, which the server writes in base64."""
    try:
        _, mark, packed = address.partition('?fileuri=')
        return base64.b64decode(packed, altchars=b'-_').decode() if mark else address
    except ValueError:
        return address


def _results(task: dict[str, Any]) -> tuple[list[Any] | None, int]:
    """Regions of a task, None where nobody annotated it, and the number of annotations."""
    if 'annotations' not in task and 'completions' not in task:  # the short export
        found = next(
            (task[k] for k in ('label', 'tag', 'labels') if isinstance(task.get(k), list)), None
        )
        return found, 1
    annotations = task.get('annotations') or task.get('completions') or []
    annotations = annotations if isinstance(annotations, list) else []
    kept = [
        item
        for item in annotations
        if isinstance(item, dict)
        and not item.get('was_cancelled')
        and isinstance(item.get('result'), list)
    ]
    return (kept[0]['result'] if kept else None), len(kept)


def _annotated(
    task: dict[str, Any],
    number: int,
    results: list[Any],
    path: Path,
    root: Path,
    index: Mapping[str, list[Path]],
) -> Annotated:
    address = _image_of(task)
    name = _name(address) or address
    split = split_in_folders(path, root) or split_in_name(path) or UNDIVIDED
    try:
        image = _find(name, path, root, index, split)
        if image is None:
            raise DataError(f'{path}: image {name} is missing')
    except DataError as error:
        return Annotated(name, path, split=split, problem=str(error))
    what = f'task {task.get("id", number)}'
    size = next((found for found in map(_size, results) if found), (0, 0))
    shapes = tuple(
        _shape(result, f'{what}, region {k}', size)
        for k, result in enumerate(results)
        if _is_region(result)
    )
    below = image.relative_to(root).as_posix() if image.is_relative_to(root) else image.name
    return Annotated(below, path, image, shapes, split, size)


def _size(result: Any) -> tuple[int, int] | None:
    """(H, W) of the image that a region was drawn on."""
    try:
        return int(result['original_height']), int(result['original_width'])
    except (KeyError, TypeError, ValueError, OverflowError):
        return None


def _find(
    name: str, path: Path, root: Path, index: Mapping[str, list[Path]], split: str
) -> Path | None:
    """The image of an address; an upload has random characters and ``-`` before its name."""
    find = partial(find_image, near=path.parent, root=root, index=index, split=split)
    found = find(name)
    mark, _, rest = Path(name).name.partition('-')
    if found is None and rest and re.fullmatch('[0-9a-fA-F]{2,8}', mark):
        found = find(rest)
    return found


def _is_region(result: Any) -> bool:
    """Whether an answer is a region: others are choices, texts and relations."""
    if not isinstance(result, dict):
        return True
    if result.get('type') == 'relation':
        return False
    value = result.get('value', result)
    return not isinstance(value, dict) or any(
        key.endswith('labels') or key in ('points', 'rle', 'radiusX') for key in value
    )


def _shape(result: Any, where: str, size: tuple[int, int]) -> Shape:
    try:
        value = result.get('value', result)
        other = next((k for k in value if k.endswith('labels') and k not in _LABELS), None)
        if other is not None:
            return Shape(str(value[other][0]).strip(), where, other.removesuffix('labels'))
        labels = next((value[key] for key in _LABELS if value.get(key)), None)
        if labels is None:
            return Shape('', where, 'polygon', problem='has no label')
        label = str(labels[0]).strip()
        if isinstance(labels, list) and len(labels) > 1:
            text = f'has {len(labels)} labels ({", ".join(map(str, labels))}): a pixel has one'
            return Shape(label, where, 'polygon', problem=text)
        where = f'{where} ({label})'
        turned = float(result.get('image_rotation') or 0)
        if turned:
            text = f'was drawn on an image turned by {turned:g} degrees: save the image that way'
            return Shape(label, where, 'polygon', problem=text)
        height, width = size[0] / 100, size[1] / 100
        if 'points' in value:
            points = [(float(x) * width, float(y) * height) for x, y in value['points']]
            return Shape(label, where, 'polygon', steady(points))
        if 'rle' in value:
            return Shape(label, where, 'mask', mask=_runs(value['rle'], size))
        x, y = float(value['x']), float(value['y'])
        turn = float(value.get('rotation') or 0)
        if 'radiusX' in value:
            radii = float(value['radiusX']) * width, float(value['radiusY']) * height
            center = (x * width, y * height)
            return Shape(label, where, 'ellipse', (center,), radii=radii, angle=turn)
        corner = x * width, y * height
        end = (x + float(value['width'])) * width, (y + float(value['height'])) * height
        if turn:
            # turned about its left upper corner, unlike everywhere else
            return Shape(label, where, 'polygon', turned_box(corner, end, turn, about=corner))
        return Shape(label, where, 'rectangle', steady((corner, end)))
    except (KeyError, TypeError, ValueError, AttributeError, IndexError, DataError) as error:
        text = f'cannot be read ({type(error).__name__}: {error})'
        return Shape('', where, 'polygon', problem=text)


def _runs(packed: Any, size: tuple[int, int]) -> Runs:
    """Run lengths of the opaque pixels of a brush stroke.

    Raises:
        DataError: they are damaged or of another size.
    """
    mask = decode_brush(packed, size)
    flat = mask.ravel()
    changes = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    bounds = np.concatenate([[0], changes, [flat.size]])
    lengths = np.diff(bounds).tolist()
    return Runs(tuple([0, *lengths] if flat[0] else lengths), (0, 0, size[1], size[0]))


def decode_brush(packed: Any, size: tuple[int, int]) -> np.ndarray:
    """Opaque pixels of a brush stroke: (H, W) bool.

    The bytes are a stream of bits: number of values (32 bits), bits of a value less one (5), four
    lengths of counters less one (4 each); then blocks: one bit whether a value is repeated, two
    bits which of the counters follows, the count less one, and the value or the values. The values
    are R, G, B, A of all pixels in turn.

    Raises:
        DataError: they are no such bytes, are for another size, or end early.
    """
    if not isinstance(packed, list) or not all(isinstance(v, int) and 0 <= v < 256 for v in packed):
        raise DataError('its rle is no list of bytes')
    bits = _Bits(bytes(packed))
    total, height, width = bits.read(32), *size
    if total != height * width * _CHANNELS:
        raise DataError(f'its rle is for {total // _CHANNELS} pixels, not {width}x{height}')
    word = bits.read(5) + 1
    counters = [bits.read(4) + 1 for _ in range(4)]
    values = np.zeros(total, np.uint32)
    start = 0
    while start < total:
        repeated = bits.read(1)
        end = start + 1 + bits.read(counters[bits.read(2)])
        if end > total:
            raise DataError(f'its rle covers more than {total} values')
        if repeated:
            values[start:end] = bits.read(word)
        else:
            values[start:end] = [bits.read(word) for _ in range(end - start)]
        start = end
    return values.reshape(height, width, _CHANNELS)[..., -1] > 0


class _Bits:
    """Reads numbers from bytes, highest bit first."""

    def __init__(self, content: bytes) -> None:
        self._content = content
        self._place = 0

    def read(self, number: int) -> int:
        """The next bits as a number.

        Raises:
            DataError: there are not so many.
        """
        first, last = self._place // 8, math.ceil((self._place + number) / 8)
        if last > len(self._content):
            raise DataError('its rle ends early')
        self._place += number
        value = int.from_bytes(self._content[first:last], 'big') >> (8 * last - self._place)
        return value & ((1 << number) - 1)
