"""Polygons in YOLO's format for segmentation: a text file per image, and ``data.yaml``.

A line is ``CLASS x1 y1 x2 y2 ...`` in fractions of width and height. ``data.yaml`` says the names
of the classes and the folders, or lists, of the splits; labels lie where ``images`` in the path is
``labels``. Class k becomes label k + 1, 0 is the background; an image without a file has no object.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from openseg_plugin.converters.datasets.core.annotated import (
    Annotated,
    ShapeOptions,
    plan_annotated,
)
from openseg_plugin.converters.datasets.core.find import (
    existing,
    is_there,
    read_lines,
    read_names,
    read_text,
    walk_files,
)
from openseg_plugin.converters.datasets.core.images import upright_size
from openseg_plugin.converters.datasets.core.plan import UNDIVIDED, Plan, converter
from openseg_plugin.converters.datasets.core.shapes import Shape, steady
from openseg_plugin.errors import DataError
from openseg_plugin.utils.files import IMAGE_ENDINGS, SPLITS, split_of_word, without_bombs

_BOX = 4  # numbers of a box: its center, width and height


@dataclass(frozen=True)
class YoloOptions(ShapeOptions):
    """Options of the converter for YOLO's segmentation format."""


@converter('yolo_seg', YoloOptions, splits=SPLITS, default_splits=(), own=True)
def plan(src: Path, *, options: YoloOptions, splits: tuple[str, ...]) -> Plan:
    """Your own polygons in YOLO's format: data.yaml, images/ and labels/."""
    path = _find_yaml(src)
    content = _read_yaml(path)
    names = _names(content, path)
    images: list[Annotated] = []
    read = [path]
    notices = []
    for key, value in content.items():
        split = split_of_word(str(key))
        if split is None or not value:
            continue
        for entry in value if isinstance(value, list) else [value]:
            found, lists = _images(str(entry), content, path)
            read += lists
            if not found:
                notices.append(f'{path}: {key}: {entry} has no images')
            images += [_annotated(image, split, names, path.parent) for image in found]
    if not images:
        images = _unlisted(path.parent, names)
    if not images:
        raise DataError(f'{path} names no folders with images: give train: and val:')
    _refuse_boxes(images, path)
    if not any(image.source != image.image or image.problem for image in images):
        raise DataError(
            f'{path}: none of its {len(images)} images has a label file: they are looked for where '
            'images in the path is labels, or beside the image'
        )
    read += [image.image for image in images if image.image]
    return plan_annotated(images, src, options, listed=names, notices=notices, read=read)


def _find_yaml(src: Path) -> Path:
    if src.is_file():
        return src
    found = walk_files(src, ('.yaml', '.yml'))
    named = [path for path in found if path.stem == 'data'] or found
    if len(named) != 1:
        raise DataError(
            f'{src} has {len(named)} files that may be its data.yaml: give the right one as SRC'
        )
    return named[0]


def _read_yaml(path: Path) -> dict[str, Any]:
    """Content of a YAML file with names; nothing in it is executed.

    Raises:
        DataError: it is no such file.
    """
    try:
        text = read_text(path)
        content = yaml.load(text, without_bombs(yaml.SafeLoader))
        # names are text, also those that YAML takes for numbers or truth values, such as no
        plain = yaml.load(text, yaml.BaseLoader)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise DataError(f'{path} is not valid YAML: {" ".join(str(error).split())}') from error
    if not isinstance(content, dict) or 'names' not in content:
        raise DataError(f'{path} has no entry names: it is not the data.yaml of YOLO')
    return {**content, 'names': plain['names']}


def _names(content: dict[str, Any], path: Path) -> list[str]:
    names = content['names']
    if isinstance(names, dict):
        try:
            numbered = {int(number): str(name) for number, name in names.items()}
        except ValueError as error:
            raise DataError(f'{path}: its names are not numbered ({error})') from error
        highest = max(numbered, default=-1)
        if not 0 <= min(numbered, default=-1) <= highest < 254:
            raise DataError(f'{path}: its names are not numbered 0..253')
        names = [numbered.get(k, f'class_{k}') for k in range(highest + 1)]
    if not isinstance(names, list) or not 0 < len(names) < 255:
        raise DataError(f'{path}: its names are no list of 1..254 classes')
    number = content.get('nc')
    if number is not None and number != len(names):
        raise DataError(f'{path} says nc: {number} but names {len(names)} classes: make them agree')
    names = [str(name).strip() for name in names]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise DataError(f'{path} names {twice} twice: rename one of them')
    return names


def _images(entry: str, content: dict[str, Any], path: Path) -> tuple[list[Path], list[Path]]:
    """Images of a folder or list that data.yaml names, and the list.

    Exports name folders of other machines, and Roboflow's lie one level too high.
    """
    written = Path(entry.replace('\\', '/'))
    inside = Path(*[part for part in written.parts if part not in ('..', '.', '/')])
    home = path.parent / str(content.get('path') or '').replace('\\', '/')
    tries = [home / written, path.parent / written, path.parent / inside]
    tries += [path.parent / Path(*inside.parts[-k:]) for k in (3, 2, 1) if len(inside.parts) > k]
    for place in tries:
        if is_there(place, folder=True):
            return walk_files(place), []
        if is_there(place):
            return [_listed(name, place, path.parent) for name in read_names(place)], [place]
    return [], []


def _listed(name: str, path: Path, root: Path) -> Path:
    written = Path(name.replace('\\', '/'))
    tries = [root / written, path.parent / written]
    tries += [root / Path(*written.parts[-k:]) for k in range(len(written.parts) - 1, 0, -1)]
    tries = [existing(place) for place in tries]
    return next((place for place in tries if is_there(place)), root / written.name)


def _unlisted(root: Path, names: Sequence[str]) -> list[Annotated]:
    """Images below ``images`` where data.yaml names no folder that is there."""
    files = [path for path in walk_files(root) if _label_of(path) is not None]
    return [_annotated(path, _split_of(path, root), names, root) for path in files]


def _split_of(path: Path, root: Path) -> str:
    folders = path.relative_to(root).parts[:-1]
    return next((s for s in map(split_of_word, folders) if s), UNDIVIDED)


def _label_of(image: Path) -> Path | None:
    """The text file of an image: beside it, or where ``images`` in the path is ``labels``."""
    beside = image.with_suffix('.txt')
    parts = list(beside.parts)
    tries = [beside]
    last = next((k for k in range(len(parts) - 2, -1, -1) if parts[k].lower() == 'images'), None)
    if last is not None:
        words = ('labels', 'Labels', 'LABELS')
        tries[:0] = [Path(*parts[:last], word, *parts[last + 1 :]) for word in words]
    return next((path for path in map(existing, tries) if path.is_file()), None)


def _annotated(image: Path, split: str, names: Sequence[str], root: Path) -> Annotated:
    name = image.relative_to(root).as_posix() if image.is_relative_to(root) else image.name
    if not image.name.lower().endswith(IMAGE_ENDINGS) or not image.is_file():
        return Annotated(name, image, split=split, problem=f'image {image} is missing')
    path = _label_of(image)
    if path is None:
        return Annotated(name, image, image, split=split)
    try:
        height, width = upright_size(image)
        shapes = tuple(
            _shape(number, line, names, (width, height)) for number, line in read_lines(path)
        )
    except DataError as error:
        return Annotated(name, path, image, split=split, problem=str(error))
    return Annotated(name, path, image, shapes, split)


def _shape(number: int, line: str, names: Sequence[str], scale: tuple[int, int]) -> Shape:
    """The shape of a line; what is wrong with it is said by the shape."""
    words = line.split()
    where = f'line {number}'
    try:
        label = names[int(float(words[0]))] if float(words[0]) >= 0 else ''
        values = [float(word) for word in words[1:]]
    except (ValueError, OverflowError):
        return Shape(names[0], where, 'polygon', problem=f'is {line!r:.60}, which is no polygon')
    except IndexError:
        text = f'has class {words[0]}, data.yaml names {len(names)}'
        return Shape(names[0], where, 'polygon', problem=text)
    problem = None
    if not label:
        label, problem = names[0], f'has class {words[0]}'
    elif len(values) == _BOX:
        problem = 'holds a box, no polygon'
    elif len(values) % 2:
        problem = f'has {len(values)} coordinates, which are no pairs'
    elif any(abs(value) > 2 for value in values):
        problem = 'has coordinates in pixels: fractions 0..1 are needed'
    points = [(x * scale[0], y * scale[1]) for x, y in zip(values[0::2], values[1::2])]
    return Shape(label, f'{where} ({label})', 'polygon', steady(points), problem=problem)


def _refuse_boxes(images: Sequence[Annotated], path: Path) -> None:
    """Makes sure that not all lines are boxes, as in YOLO's format for detection."""
    shapes = [shape for image in images for shape in image.shapes]
    if shapes and all(shape.problem == 'holds a box, no polygon' for shape in shapes):
        raise DataError(f'{path}: its labels hold boxes, no polygons: export them for segmentation')
