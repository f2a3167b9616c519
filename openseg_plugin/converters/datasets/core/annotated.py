"""Images with shapes, as every annotation program exports them: from what was read to a plan.

What differs between programs is how their files are read; splits, names, classes, bad shapes and
images that are missing are the same for all and live here.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path, PurePosixPath

import numpy as np

from openseg_plugin.converters.datasets.core.find import find_named
from openseg_plugin.converters.datasets.core.images import embedded_size, upright_size
from openseg_plugin.converters.datasets.core.pairs import (
    BACKGROUND,
    IGNORE,
    VAL_FRACTION,
    class_palette,
    image_name,
    merge_table,
    names_of,
    note_class_names,
    note_named_splits,
    note_similar,
    read_class_names,
    splits_by_folders,
)
from openseg_plugin.converters.datasets.core.plan import (
    UNDIVIDED,
    CopyTask,
    Plan,
    RenderTask,
    Sample,
    in_split,
    option,
)
from openseg_plugin.converters.datasets.core.shapes import Shape, draw_shapes, problem_of
from openseg_plugin.errors import DataError

CLASS_NAMES = 'class_names.txt'
_NAMED = 5  # bad shapes that a notice spells out


@dataclass(frozen=True)
class ShapeOptions:
    """Options of all converters for shapes that users drew."""

    class_names: str = option(
        '', f'file with one class per line (default: {CLASS_NAMES} in SRC, else what SRC names)'
    )
    val_fraction: float = option(0.0, VAL_FRACTION)
    skip_bad_shapes: bool = option(
        False, 'leave out shapes that cannot be drawn, and list them, instead of stopping'
    )
    merge_names: bool = option(False, 'labels that differ only in case or blanks are one class')


@dataclass(frozen=True)
class Annotated:
    """One image and what was drawn on it.

    Attributes:
        name: path of the image or of its annotation file below SRC; samples are called after it.
        source: the annotation file.
        image: the image, or None where ``extract`` gives it.
        shapes: in the order in which they are drawn.
        split: its split, or :data:`UNDIVIDED`.
        size: (H, W) that the annotation file says, 0 where it says none.
        extract: gives the image's content where it lies inside the annotation file.
        ending: of the image that ``extract`` gives.
        problem: why it cannot be converted.
    """

    name: str
    source: Path
    image: Path | None = None
    shapes: tuple[Shape, ...] = ()
    split: str = UNDIVIDED
    size: tuple[int, int] = (0, 0)
    extract: Callable[[], bytes] | None = None
    ending: str = '.jpg'
    problem: str | None = None


def plan_annotated(
    images: Sequence[Annotated],
    src: Path,
    options: ShapeOptions,
    *,
    listed: Sequence[str] = (),
    notices: Sequence[str] = (),
    read: Collection[Path] = (),
) -> Plan:
    """The plan for images with shapes.

    Args:
        images: undivided ones are counted in this order.
        src: the source, which may hold a list of class names.
        options: of the converter.
        listed: class names that the annotation files list, without background; empty: the labels
            that occur, sorted.
        notices: about the reading.
        read: files that were read, besides the sources of the images.
    """
    notes = list(notices)
    images, more = _in_splits_of_folders(images, src, options)
    notes += more
    names, table, uncovered, path = class_names(images, src, options, listed)
    if path is not None and uncovered:
        notes.append(note_class_names(path, uncovered))
    used = sorted({shape.label for image in images for shape in image.shapes} - {''})
    if not options.merge_names:
        notes += note_similar(
            [*names[0 if uncovered else 1 :], *(x for x in used if x not in names and x != IGNORE)]
        )
    values = {name: names.index(first) for name, first in table.items() if first in names}
    values[IGNORE] = 255
    if options.skip_bad_shapes:
        images, bad = _without_bad_shapes(images)
        notes += bad
    called = names_of([PurePosixPath(image.name) for image in images])
    samples = [_sample(image, name, values, uncovered) for image, name in zip(images, called)]
    return Plan(
        samples,
        names,
        class_palette(len(names)),
        notices=tuple(notes),
        read={*read, *(image.source for image in images), *([path] if path else [])},
    )


def _in_splits_of_folders(
    images: Sequence[Annotated], src: Path, options: ShapeOptions
) -> tuple[Sequence[Annotated], tuple[str, ...]]:
    """The images, of which undivided ones are in the split that their folders say; a notice."""
    undivided = {x.image for x in images if x.split == UNDIVIDED and x.image is not None}
    said = splits_by_folders(sorted(undivided), src if src.is_dir() else src.parent)
    moved = [
        replace(x, split=said.get(x.image) or UNDIVIDED)
        if x.split == UNDIVIDED and x.image is not None
        else x
        for x in images
    ]
    return moved, note_named_splits(said, options.val_fraction)


def class_names(
    images: Sequence[Annotated], src: Path, options: ShapeOptions, listed: Sequence[str]
) -> tuple[tuple[str, ...], dict[str, str], int, Path | None]:
    """Class names, label -> class name, value without a shape, and the file that lists them."""
    given = Path(options.class_names) if options.class_names else find_named(src, CLASS_NAMES)
    found = sorted({shape.label for image in images for shape in image.shapes} - {IGNORE, ''})
    uncovered = 0
    if given is not None:
        names, uncovered = read_class_names(given)
    else:
        names = (BACKGROUND, *dict.fromkeys(x for x in listed or found if x != BACKGROUND))
    if len(names) > 255:
        raise DataError(f'{src} has {len(names)} classes: at most 255 are possible')
    if not options.merge_names:
        return names, {name: name for name in names}, uncovered, given
    table = merge_table([*names, *found])
    return tuple(dict.fromkeys(table[name] for name in names)), table, uncovered, given


def _without_bad_shapes(images: Sequence[Annotated]) -> tuple[list[Annotated], list[str]]:
    """The images with the shapes that can be drawn, and a notice of the others."""
    kept, bad = [], []
    for image in images:
        if image.problem is None:
            try:
                size = size_of(image)
            except DataError as error:
                image = replace(image, problem=str(error))
            else:
                problems = [problem_of(shape, size) for shape in image.shapes]
                pairs = list(zip(image.shapes, problems))
                bad += [f'{image.source}: {shape.where} {text}' for shape, text in pairs if text]
                image = replace(image, shapes=tuple(shape for shape, text in pairs if not text))
        kept.append(image)
    return kept, list(note_bad_shapes(bad))


def note_bad_shapes(bad: Sequence[str]) -> tuple[str, ...]:
    """Notice of shapes that ``--skip-bad-shapes`` left out."""
    if not bad:
        return ()
    more = f' and {len(bad) - _NAMED} more' if len(bad) > _NAMED else ''
    return (f'{len(bad)} bad shapes were left out: {"; ".join(bad[:_NAMED])}{more}',)


def size_of(image: Annotated) -> tuple[int, int]:
    """(H, W) of the image, upright.

    Raises:
        DataError: the image is broken, or the shapes were drawn on another size.
    """
    if image.extract is not None:
        size = embedded_size(image.extract(), image.source)
    else:
        assert image.image is not None, 'an image without problem has a file or is embedded'
        size = upright_size(image.image)
    drawn = image.size[0] or size[0], image.size[1] or size[1]
    if drawn != size:
        raise DataError(
            f'{image.source} was drawn on {drawn[1]}x{drawn[0]} pixels but its image is '
            f'{size[1]}x{size[0]}: if the camera turned it, save the image upright'
        )
    return size


def draw_annotated(image: Annotated, values: Mapping[str, int], uncovered: int) -> np.ndarray:
    """Label map of an image: (H, W) uint8, 255 where ignored, ``uncovered`` without a shape.

    Raises:
        DataError: its shapes were drawn on another size, or one cannot be drawn.
    """
    return draw_shapes(
        image.shapes, values, size_of(image), where=str(image.source), uncovered=uncovered
    )


def _sample(image: Annotated, name: str, values: Mapping[str, int], uncovered: int) -> Sample:
    if image.problem is not None:
        return Sample(image.split, image.name, problem=image.problem)
    src, to = image.image, f'{name}{image.ending}'
    if src is not None:
        to = image_name(src, name)
    place = CopyTask(src or image.source, in_split(image.split, 'image', to), image.extract)
    draw = partial(draw_annotated, image, values, uncovered)
    label = RenderTask(in_split(image.split, 'label', f'{name}.png'), draw)
    return Sample(image.split, image.name, (image.source,), (place,), (label,))
