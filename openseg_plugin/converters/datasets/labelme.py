"""Polygons drawn with labelme, X-AnyLabeling or another program with its files: one per image.

Shapes are drawn in file order, later over earlier, filled including their outline; class numbers
follow the list of class names, 0 is the background. A shape called ``__ignore__`` becomes 255.
"""

import base64
import binascii
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from openseg_plugin.converters.datasets.core.annotated import (
    Annotated,
    ShapeOptions,
    plan_annotated,
)
from openseg_plugin.converters.datasets.core.find import composed, read_json, walk_files, whole
from openseg_plugin.converters.datasets.core.pairs import (
    find_image,
    image_key,
    index_images,
    note_named_splits,
    split_in_folders,
)
from openseg_plugin.converters.datasets.core.plan import UNDIVIDED, Plan, converter
from openseg_plugin.converters.datasets.core.shapes import Shape
from openseg_plugin.errors import DataError
from openseg_plugin.utils.files import IMAGE_ENDINGS, SPLITS
from openseg_plugin.utils.pool import FEW, in_processes, usable_cores

# Kinds of shapes that are the polygon of their corners, whatever programs call them.
_POLYGONS = ('oriented_rectangle', 'rotation', 'rotated_rectangle', 'quadrilateral')

# First characters of images in base64 -> the ending of their files.
_STARTS = {
    **{'/9j/': '.jpg', 'iVBORw': '.png', 'Qk': '.bmp', 'UklGR': '.webp'},
    **{'SUkq': '.tif', 'TU0A': '.tif'},
}
_HEAD = 200  # characters in which an image in base64 is told


@dataclass(frozen=True)
class LabelmeOptions(ShapeOptions):
    """Options of the labelme converter."""


@dataclass(frozen=True)
class _File:
    """What one JSON file says.

    Attributes:
        number: its place in the list of files.
        path: the file.
        written: path of the image as written.
        size: (H, W) of the image as written, 0 where it is not.
        shapes: its shapes.
        ending: of the image inside the file; empty where there is none.
        has_data: there is something where the image would be.
        problem: why it cannot be used.
        is_foreign: it is JSON, but of another program.
    """

    number: int
    path: Path
    written: str = ''
    size: tuple[Any, Any] = (0, 0)
    shapes: tuple[Shape, ...] = ()
    ending: str = ''
    has_data: bool = False
    problem: str | None = None
    is_foreign: bool = False


@converter('labelme', LabelmeOptions, splits=SPLITS, default_splits=(), own=True)
def plan(src: Path, *, options: LabelmeOptions, splits: tuple[str, ...]) -> Plan:
    """Your own polygons, drawn with labelme: one JSON file beside each image."""
    index = index_images(src)
    files, foreign, notices = _read_all(src, index)
    named = {file.path: split_in_folders(file.path, src) for file in files}
    files.sort(key=lambda file: (file.path.stem, file.path))
    stems = {composed(file.path.stem) for file in files}
    images = [_annotated(file, src, index, stems, named[file.path]) for file in files]
    notices += _note_stale(files, images, index)
    used = {image.image for image in images}
    # an image beside its file is not left out, even if the file is broken
    used |= {file.path.with_suffix(ending) for file in files for ending in IMAGE_ENDINGS}
    left = sorted(path for found in index.values() for path in found if path not in used)
    if left and not splits:
        notices.append(f'{len(left)} images have no .json file and were left out, first {left[0]}')
    notices += note_named_splits(named, options.val_fraction)
    read = {*left, *foreign, *(path for path in used if path)}
    return plan_annotated(images, src, options, notices=notices, read=read)


def _read_all(
    src: Path, index: Mapping[str, list[Path]]
) -> tuple[list[_File], list[Path], list[str]]:
    """Files of labelme, other JSON files, and a notice about those.

    Raises:
        DataError: there are none.
    """
    paths = walk_files(src, ('.json',))
    workers = usable_cores() if len(paths) > FEW else 1
    found = sorted(in_processes(_read, enumerate(paths), workers=workers), key=lambda f: f.number)
    images = {Path(name).stem for name in index}
    foreign = [f.path for f in found if f.is_foreign and image_key(f.path.stem) not in images]
    files = [file for file in found if file.path not in foreign]
    if not files:
        raise DataError(f'{src} has no .json files of labelme')
    if not foreign:
        return files, [], []
    text = 'have no shapes and belong to no image: left out, the first is'
    return files, foreign, [f'{len(foreign)} .json files {text} {foreign[0]}']


def _read(numbered: tuple[int, Path]) -> _File:
    """Reads a file, once; what is wrong with it is said in the result."""
    number, path = numbered
    is_foreign = False
    try:
        content = read_json(path)
        is_foreign = not isinstance(content, dict) or 'shapes' not in content
        if not isinstance(content, dict):
            raise DataError(f'{path} holds a {type(content).__name__}, not an object with shapes')
        if is_foreign:
            raise DataError(f'{path} has no entry shapes: it is not the right file')
        shapes = _shapes(content, path)
    except DataError as error:
        return _File(number, path, problem=str(error), is_foreign=is_foreign)
    return _File(
        number,
        path,
        written=str(content.get('imagePath') or ''),
        size=(whole(content.get('imageHeight') or 0), whole(content.get('imageWidth') or 0)),
        shapes=shapes,
        ending=_embedded_ending(content.get('imageData')),
        has_data=bool(content.get('imageData')),
    )


def _shapes(content: dict[str, Any], path: Path) -> tuple[Shape, ...]:
    """Shapes of a file; a label may be a number.

    Raises:
        DataError: they are no list.
    """
    shapes = content['shapes']
    if not isinstance(shapes, list):
        raise DataError(f'{path} is not a labelme file: its shapes are no list')
    return tuple(_shape(item, position) for position, item in enumerate(shapes))


def _shape(item: Any, position: int) -> Shape:
    """A shape; what is wrong with it is said by the shape."""
    label = item.get('label') if isinstance(item, dict) else None
    where = f'shape {position}'
    if not isinstance(label, str | int) or isinstance(label, bool):
        return Shape('', where, 'polygon', problem='has no label')
    label = str(label).strip()
    where = f'{where} ({label})'
    points = item.get('points')
    pairs = isinstance(points, list) and all(isinstance(p, list | tuple) for p in points)
    if not pairs or any(len(point) != 2 for point in points):
        return Shape(label, where, 'polygon', problem='has no points [[x, y], ...]')
    # files of early versions hold polygons without a kind
    kind = item.get('shape_type') or 'polygon'
    kind = 'polygon' if kind in _POLYGONS else str(kind)
    if kind == 'ellipse':  # no program writes radii into these files
        text = f'has the shape type {kind!r}, which cannot be drawn'
        return Shape(label, where, kind, problem=text)
    corners = tuple(tuple(point) for point in points)
    return Shape(label, where, kind, corners, mask=item.get('mask'))


def _annotated(
    file: _File,
    src: Path,
    index: Mapping[str, list[Path]],
    stems: Collection[str],
    named: str | None,
) -> Annotated:
    split = named or UNDIVIDED
    name = file.path.relative_to(src).with_suffix('.json').as_posix()
    if file.problem:
        return Annotated(name, file.path, split=split, problem=file.problem)
    try:
        image = _find_image(file, src, index, stems)
    except DataError as error:
        return Annotated(name, file.path, split=split, problem=str(error))
    extract = None
    if image is None:
        if not file.ending:
            problem = f'{file.path}: its image {file.written or file.path.stem} is missing'
            if file.has_data:
                problem += ', and its imageData is no image in base64'
            return Annotated(name, file.path, split=split, problem=problem)
        extract = partial(read_embedded, file.path)
    return Annotated(
        name, file.path, image, file.shapes, split, file.size, extract, file.ending or '.jpg'
    )


def _find_image(
    file: _File, src: Path, index: Mapping[str, list[Path]], stems: Collection[str]
) -> Path | None:
    """The image beside the file with its name, else the one that it names.

    Copied and renamed files go on naming the image that they were copied from. Where another file
    is that image's own, the image with the file's own name is taken from any folder.
    """
    stem = composed(file.path.stem)
    called = [p for e in IMAGE_ENDINGS for p in index.get(image_key(f'{stem}{e}'), [])]
    called = [path for path in called if composed(path.stem) == stem]
    beside = [path for path in called if path.parent == file.path.parent]
    written = Path(composed(file.written).replace('\\', '/'))
    if beside and written.name not in [composed(path.name) for path in beside]:
        return beside[0]
    if len(called) == 1 and written.stem != stem and written.stem in stems:
        return called[0]
    return find_image(file.written, near=file.path.parent, root=src, index=index)


def _note_stale(
    files: list[_File], images: list[Annotated], index: Mapping[str, list[Path]]
) -> list[str]:
    """Notices of files that name another image than their own, and of images with several files."""
    stale = []
    for file, image in zip(files, images):
        written = image_key(Path(file.written.replace('\\', '/')).name)
        if image.image and written != image_key(image.image.name) and written in index:
            stale.append(f'{file.path} names {file.written}, {image.image} was taken')
    notices = []
    if stale:
        text = 'files name another image than the one that is called like them, first'
        notices.append(f'{len(stale)} {text} {stale[0]}')
    users: dict[Path, list[Path]] = {}
    for image in images:
        if image.image:
            users.setdefault(image.image, []).append(image.source)
    shared = [(path, found) for path, found in users.items() if len(found) > 1]
    if shared:
        path, found = shared[0]
        notices.append(
            f'{len(shared)} images are named by several files and become a sample of each, first '
            f'{path} by {found[0]} and {found[1]}'
        )
    return notices


def _embedded_ending(data: Any) -> str:
    """Ending of an image in base64 by its first bytes; empty where it is none that is known."""
    if not isinstance(data, str):
        return ''
    data = _without_head(data[:_HEAD])
    return next((ending for start, ending in _STARTS.items() if data.startswith(start)), '')


def _without_head(data: str) -> str:
    """Base64 without blanks and line ends, and without ``data:image/png;base64,`` of web pages."""
    return ''.join(data.rpartition(';base64,')[2].split())


def read_embedded(path: Path) -> bytes:
    """The image inside a labelme file.

    Raises:
        DataError: it is no base64.
    """
    try:
        data = _without_head(read_json(path, 'imageData')['imageData'])
        return base64.b64decode(data, validate=True)
    except (AttributeError, TypeError, binascii.Error, ValueError) as error:
        raise DataError(f'{path}: its imageData is not in base64 ({error})') from error
