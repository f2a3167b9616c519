"""Pairing images with label files of the same name: what most datasets come down to.

What the converters for users' own images share: splits, class lists and colours.
"""

import contextlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path, PurePosixPath

import numpy as np

from openseg_plugin.converters.datasets.core.edges import edge_draws
from openseg_plugin.converters.datasets.core.find import IMAGES, read_names, walk_files
from openseg_plugin.converters.datasets.core.plan import (
    CopyTask,
    Palette,
    RenderTask,
    Sample,
    in_split,
)
from openseg_plugin.errors import ConfigError, DataError
from openseg_plugin.utils.palette import distinct_colors

Maker = Callable[[Path], Callable[[], np.ndarray]]
Layout = Callable[[str, str], tuple[str, str]]
# Where an earlier run put the images; set around the planning of a run.
_KNOWN: ContextVar[Mapping[str, str]] = ContextVar('known')
# Endings that differ between cameras for the same kind of file.
_ENDINGS = {'.jpeg': '.jpg', '.tiff': '.tif'}


@dataclass
class Pairs:
    """Samples and notices of one or more splits.

    Attributes:
        samples: one per image.
        notices: what was left out.
    """

    samples: list[Sample] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)

    def add(
        self,
        split: str,
        images: Mapping[str, Path],
        labels: Mapping[str, Path] | None,
        make: Maker,
        *,
        names: Iterable[str] | None = None,
        edge_widths: tuple[int, ...] = (),
        skip_unlabelled: bool = False,
        to: Layout | None = None,
    ) -> None:
        """Adds a split.

        Args:
            split: its name.
            images: name without ending -> file.
            labels: name without ending -> label file; None: the split has no labels.
            make: label file -> function that gives its map.
            names: which samples, in this order; None: all images, sorted.
            edge_widths: edge maps to add.
            skip_unlabelled: leave out images without label and say so, instead of failing.
            to: (name, file name of the image) -> paths of image and label; None: the
                project's own layout.
        """
        place = partial(_own_layout, split) if to is None else to
        chosen = sorted(images) if names is None else list(names)
        left_out = []
        for name in chosen:
            if labels is not None and name not in labels and name in images and skip_unlabelled:
                left_out.append(images[name].name)
                continue
            self.samples.append(_sample(split, name, images, labels, make, edge_widths, place))
        self._note(left_out, f'{split} images have no label and were left out')
        if labels is not None:
            used = set(chosen)
            unused = [labels[name].name for name in labels if name not in used]
            self._note(unused, f'{split} labels belong to no image of the split')

    def _note(self, names: list[str], text: str) -> None:
        if names:
            self.notices.append(f'{len(names)} {text}, the first is {names[0]}')


def _sample(
    split: str,
    name: str,
    images: Mapping[str, Path],
    labels: Mapping[str, Path] | None,
    make: Maker,
    edge_widths: tuple[int, ...],
    to: Layout,
) -> Sample:
    if name not in images:
        return Sample(split, name, problem=f'{split} image {name} is missing')
    image = images[name]
    to_image, to_label = to(name, image_name(image, name))
    places = (CopyTask(image, to_image),)
    if labels is None:
        return Sample(split, name, places=places)
    if name not in labels:
        return Sample(split, name, problem=f'{image} has no label: put it there or remove both')
    draws = (
        RenderTask(to_label, make(labels[name])),
        *edge_draws(split, f'{name}.png', edge_widths),
    )
    return Sample(split, name, (labels[name],), places, draws)


def _own_layout(split: str, name: str, image: str) -> tuple[str, str]:
    return in_split(split, 'image', image), in_split(split, 'label', f'{name}.png')


def image_name(image: Path, stem: str) -> str:
    """File name of an image in the target; ``.JPG`` and ``.jpeg`` become ``.jpg``."""
    ending = image.suffix.lower()
    return stem + _ENDINGS.get(ending, ending)


@contextlib.contextmanager
def keeping(known: Mapping[str, str]) -> Iterator[None]:
    """Within the block :func:`divide` leaves images where an earlier run put them.

    Args:
        known: name without ending -> ``'train'`` or ``'val'``.
    """
    token = _KNOWN.set(known)
    try:
        yield
    finally:
        _KNOWN.reset(token)


def divide(
    names: Sequence[str], val_every: int, *, stem: Callable[[str], str] = str
) -> dict[str, list[str]]:
    """Names of ``train`` and ``val``: every n-th name (the n-th, 2n-th, ...) goes to ``val``.

    An image that an earlier run put somewhere stays there, whatever came or went before it.

    Args:
        names: in the order that is counted.
        val_every: n; 0: all to ``train``.
        stem: name -> what its files in the target are called, without ending.

    Raises:
        ConfigError: ``val_every`` is 1 or negative.
    """
    if val_every < 0 or val_every == 1:
        raise ConfigError(f'--val-every {val_every}: give 2 or more, or 0 for no val split')
    known = _KNOWN.get({}) if val_every else {}
    parts: dict[str, list[str]] = {'train': [], 'val': []}
    for number, name in enumerate(names, start=1):
        by_place = 'val' if val_every and number % val_every == 0 else 'train'
        parts[known.get(stem(name), by_place)].append(name)
    return parts


BACKGROUND = '_background_'
IGNORE = '__ignore__'
SPLITS = ('train', 'val', 'test')
VAL_EVERY = 'every n-th image goes to split val, the others to train; 0: all to train'
_SPLIT_WORDS = {
    **dict.fromkeys(('train', 'training'), 'train'),
    **dict.fromkeys(('val', 'valid', 'validation'), 'val'),
    **dict.fromkeys(('test', 'testing'), 'test'),
}


def split_names(names: Sequence[str], val_every: int) -> dict[str, str]:
    """Name (perhaps with folders and ending) -> split, by the place of the name in the list."""
    parts = divide(names, val_every, stem=lambda name: PurePosixPath(name).stem)
    return {name: split for split, members in parts.items() for name in members}


def split_in_name(path: Path) -> str | None:
    """The split that a word of a file's name says: instances_train2017 does, latest does not."""
    words = (word.lower() for word in re.findall('[A-Z]?[a-z]+|[A-Z]+', path.stem))
    found = {_SPLIT_WORDS[word] for word in words if word in _SPLIT_WORDS}
    return found.pop() if len(found) == 1 else None


def split_in_folders(path: Path, base: Path) -> str | None:
    """The split that a folder between ``base`` and the file is named after."""
    inside = path.is_relative_to(base)
    folders = path.relative_to(base).parts[:-1] if inside else (path.parent.name,)
    return next(
        (_SPLIT_WORDS[part.lower()] for part in folders if part.lower() in _SPLIT_WORDS), None
    )


def note_named_splits(named: Mapping[Path, str | None], val_every: int) -> tuple[str, ...]:
    """Notice that ``--val-every`` is not for files whose split is said by their name or folder."""
    found = [(path, split) for path, split in named.items() if split]
    if not val_every or not found:
        return ()
    return (
        f'--val-every {val_every} does not divide the images of {len(found)} files whose name or '
        f'folder says the split, the first is {found[0][0]}: {found[0][1]}',
    )


def read_class_names(path: Path) -> tuple[str, ...]:
    """Class names of a text file, one per line, without ``__ignore__``; background comes first.

    Raises:
        DataError: the file is missing, empty, or names a class twice.
    """
    names = [name for name in read_names(path) if name != IGNORE]
    if not names:
        raise DataError(f'{path} names no class')
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise DataError(f'{path} names {twice[0]} twice')
    if BACKGROUND in names and names[0] != BACKGROUND:
        raise DataError(f'{path}: {BACKGROUND} must be the first class')
    return tuple(names if names[0] == BACKGROUND else [BACKGROUND, *names])


def index_images(root: Path) -> dict[str, list[Path]]:
    """File name (lower case) -> the images below ``root`` of that name."""
    found: dict[str, list[Path]] = {}
    for path in walk_files(root, IMAGES):
        found.setdefault(path.name.lower(), []).append(path)
    return found


def find_image(
    reference: str, *, near: Path, root: Path, index: Mapping[str, list[Path]]
) -> Path | None:
    """The image that an annotation file names, wherever it lies now.

    Args:
        reference: path as written, perhaps on another machine.
        near: folder of the annotation file.
        root: folder of the data.
        index: from :func:`index_images`.

    Raises:
        DataError: several images have that name.
    """
    parts = Path(reference.replace('\\', '/')).parts
    for base in (near, root):
        if parts and (base / Path(*parts)).is_file() and '..' not in parts:
            return base / Path(*parts)
    found = index.get(parts[-1].lower(), []) if parts else []
    # of several, the one that shares the most folder names with the reference
    for length in range(len(parts), 0, -1):
        same = [path for path in found if path.parts[-length:] == parts[-length:]]
        if len(same) == 1:
            return same[0]
        if len(same) > 1:
            raise DataError(f'{reference} may be {same[0]} or {same[1]}: rename one of them')
    return found[0] if len(found) == 1 else None


def distinct_colours(number: int) -> Palette:
    """Black for class 0 and clearly different colors for the others, always the same ones."""
    return ((0, 0, 0), *distinct_colors(max(number - 1, 0)))[:number]
