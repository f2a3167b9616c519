"""Pairing images with label files of the same name: what most datasets come down to.

What the converters for users' own images share: splits, names, class lists and colors, and the edge
maps that the human parsing and boundary methods use (CE2P, OpenSeg).
"""

import os
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import partial
from pathlib import Path, PurePosixPath
from urllib.parse import unquote

import cv2
import numpy as np

from openseg_plugin.converters.datasets.core.find import composed, is_there, read_names, walk_files
from openseg_plugin.converters.datasets.core.plan import (
    UNDIVIDED,
    CopyTask,
    Palette,
    RenderTask,
    Sample,
    in_split,
)
from openseg_plugin.errors import ConfigError, DataError
from openseg_plugin.utils.files import IMAGE_ENDINGS, split_of_word
from openseg_plugin.utils.palette import distinct_colors

_EDGE = 255
_IGNORE = 255
DEFAULT_WIDTH = 3


def edge_map(label: np.ndarray, *, width: int) -> np.ndarray:
    """Pixels near a change of class: (H, W) uint8, 255 on edges, else 0.

    Two neighbors with different labels, neither 255, make an edge: the lower one of a vertical
    pair, the left one of a horizontal pair, the upper one of a diagonal pair. Then the edge is
    widened by a square.

    Args:
        label: (H, W) uint8.
        width: side of the square in pixels; even squares reach one pixel further down and right.
    """
    edge = np.zeros(label.shape, bool)
    edge[1:] |= _differ(label[:-1], label[1:])
    edge[:, :-1] |= _differ(label[:, :-1], label[:, 1:])
    edge[:-1, :-1] |= _differ(label[:-1, :-1], label[1:, 1:])
    edge[:-1, 1:] |= _differ(label[:-1, 1:], label[1:, :-1])
    square = np.ones((width, width), np.uint8)
    return cv2.dilate(edge.astype(np.uint8) * _EDGE, square)


def edge_draws(
    split: str, name: str, widths: tuple[int, ...], make: Callable[[], np.ndarray] | None = None
) -> tuple[RenderTask, ...]:
    """The edge maps of a sample.

    Args:
        split: split of the sample.
        name: file name of the label.
        widths: the first goes to the folder ``edge``, others to ``edge_width<n>``.
        make: gives the label map that edges are taken from; None: that of the sample.
    """
    draws = []
    for i, width in enumerate(widths):
        folder = 'edge' if i == 0 else f'edge_width{width}'
        how = partial(edge_map, width=width) if make is None else partial(_edge_of, make, width)
        draws.append(
            RenderTask(in_split(split, folder, name), how, kind='edge', of_label=make is None)
        )
    return tuple(draws)


def _edge_of(make: Callable[[], np.ndarray], width: int) -> np.ndarray:
    return edge_map(make(), width=width)


def _differ(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return (a != b) & (a != _IGNORE) & (b != _IGNORE)


Maker = Callable[[Path], Callable[[], np.ndarray]]
Layout = Callable[[str, str], tuple[str, str]]
# Fractions are taken for the nearest n/m, so that 0.0556 counts as every 18th or so.
_DENOMINATOR = 1000
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
        self._note(left_out, f'{split} images have no label and were left out'.strip())
        if labels is not None:
            used = set(chosen)
            unused = [labels[name].name for name in labels if name not in used]
            self._note(unused, f'{split} labels belong to no image of the split'.strip())

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


def divide(
    names: Sequence[str], fraction: float, *, known: Mapping[str, str] | None = None
) -> dict[str, list[str]]:
    """Names of ``train`` and ``val``: with a fraction of 1/n, every n-th name goes to ``val``.

    An image that an earlier run put somewhere stays there, whatever came or went before it.

    Args:
        names: in the order that is counted.
        fraction: of the names for ``val``; 0: all to ``train``.
        known: name -> ``'train'`` or ``'val'``, as an earlier run has it.

    Raises:
        ConfigError: ``fraction`` is no fraction.
    """
    if not 0 <= fraction < 1:
        raise ConfigError(
            f'--val-fraction {fraction:g}: give a fraction below 1, such as 0.1, or 0 for no split '
            'val'
        )
    exact = Fraction(fraction).limit_denominator(_DENOMINATOR)
    known = known or {}
    parts: dict[str, list[str]] = {'train': [], 'val': []}
    for number, name in enumerate(names):
        is_val = int((number + 1) * exact) > int(number * exact)
        parts[known.get(name, 'val' if is_val else 'train')].append(name)
    return parts


def divide_samples(
    samples: Sequence[Sample], fraction: float, known: Mapping[str, str]
) -> list[Sample]:
    """The samples, in the same order, each with a split: undivided ones become train or val.

    Args:
        samples: from a planner; the undivided ones are counted in this order.
        fraction: of the undivided samples for ``val``.
        known: name without ending -> split, as an earlier run divided them.
    """
    keys = {k: _key(x) for k, x in enumerate(samples) if x.split == UNDIVIDED}
    if fraction:
        parts = divide(list(keys.values()), fraction, known=known)
        split_of = {key: split for split, members in parts.items() for key in members}
    else:
        split_of = dict.fromkeys(keys.values(), 'train')
    return [
        _in_split(sample, split_of[keys[k]]) if k in keys else sample
        for k, sample in enumerate(samples)
    ]


def _key(sample: Sample) -> str:
    """What the files of an undivided sample are called, without ending."""
    targets = sample.targets()
    if not targets:
        return PurePosixPath(sample.name).stem
    _, _, name = targets[0].lstrip('/').partition('/')
    return PurePosixPath(name).with_suffix('').as_posix()


def _in_split(sample: Sample, split: str) -> Sample:
    return replace(
        sample,
        split=split,
        places=tuple(replace(place, to=f'{split}{place.to}') for place in sample.places),
        draws=tuple(replace(draw, to=f'{split}{draw.to}') for draw in sample.draws),
    )


def names_of(paths: Sequence[PurePosixPath]) -> list[str]:
    """What samples are called: the stem, with its folders where two have the same one.

    Folders that name a split are left out, and so is what leads out of the folder.
    """
    stems = Counter(path.stem for path in paths)
    names = []
    for path in paths:
        inside = [p for p in path.parts[:-1] if p not in ('/', '.', '..') and ':' not in p]
        folders = [p for p in inside if not split_of_word(p)] if stems[path.stem] > 1 else []
        names.append('/'.join([*folders, path.stem]))
    return names


BACKGROUND = '_background_'
IGNORE = '__ignore__'
VAL_FRACTION = 'fraction of the images for split val, evenly spread; the others go to train'


def split_in_name(path: Path) -> str | None:
    """The split that a word of a file's name says: instances_train2017 does, latest does not."""
    words = re.findall('[A-Z]?[a-z]+|[A-Z]+', path.stem)
    found = {split for split in map(split_of_word, words) if split}
    return found.pop() if len(found) == 1 else None


def split_in_folders(path: Path, base: Path) -> str | None:
    """The split that a folder between ``base`` and the file is named after."""
    inside = path.is_relative_to(base)
    folders = path.relative_to(base).parts[:-1] if inside else (path.parent.name,)
    return next((split for split in map(split_of_word, folders) if split), None)


def splits_by_folders(paths: Iterable[Path], base: Path) -> dict[Path, str | None]:
    """The splits that the folders of images say, where they say more than one; else nothing.

    Where no folder is called like a split, a word in the names of folders will do (``train_set``
    beside ``val_set``), if all images have one.
    """
    chosen = list(paths)
    found = {path: split_in_folders(path, base) for path in chosen}
    if not any(found.values()):
        found = {path: _split_in_words(path, base) for path in chosen}
        found = found if all(found.values()) else {}
    return found if len({split for split in found.values() if split}) > 1 else {}


def _split_in_words(path: Path, base: Path) -> str | None:
    folders = path.relative_to(base).parts[:-1] if path.is_relative_to(base) else ()
    found = {split_in_name(Path(f'{folder}.x')) for folder in folders} - {None}
    return found.pop() if len(found) == 1 else None


def note_named_splits(named: Mapping[Path, str | None], fraction: float) -> tuple[str, ...]:
    """Notice that ``--val-fraction`` is not for files whose name or folder says their split."""
    found = [(path, split) for path, split in named.items() if split]
    if not fraction or not found:
        return ()
    return (
        f'--val-fraction {fraction:g} does not divide the images of {len(found)} files whose name '
        f'or folder says the split, the first is {found[0][0]}: {found[0][1]}',
    )


def note_similar(names: Iterable[str], *, what: str = 'labels') -> tuple[str, ...]:
    """Notice of class names that differ only in case or blanks."""
    groups: dict[str, list[str]] = {}
    for name in dict.fromkeys(names):
        groups.setdefault(_folded(name), []).append(name)
    return tuple(
        f'{what} {", ".join(map(repr, same))} differ only in case or blanks and are classes of '
        'their own: give --merge-names to make them one'
        for same in groups.values()
        if len(same) > 1
    )


def merge_table(names: Iterable[str]) -> dict[str, str]:
    """Name -> the first name that differs from it in nothing but case and blanks."""
    first: dict[str, str] = {}
    return {name: first.setdefault(_folded(name), name) for name in names}


def _folded(name: str) -> str:
    # an accent may be a part of its letter or a character behind it, which looks the same
    return ''.join(unicodedata.normalize('NFKC', name).split()).casefold()


def read_class_names(path: Path) -> tuple[tuple[str, ...], int]:
    """Class names of a text file, one per line, and the value of pixels that no shape covers.

    The background comes first and is added where the file lacks it. A file that begins with
    ``__ignore__`` and lacks it, as ``openseg predict`` writes one, has none: its classes are
    numbered from 0, and the value is 255.

    Raises:
        DataError: the file is missing, empty, or names a class twice.
    """
    written = read_names(path)
    names = [name for name in written if name != IGNORE]
    if not names:
        raise DataError(f'{path} names no class')
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise DataError(f'{path} names {twice[0]} twice')
    if BACKGROUND in names and names[0] != BACKGROUND:
        raise DataError(f'{path}: {BACKGROUND} must be the first class')
    if written[0] == IGNORE and BACKGROUND not in names:
        return tuple(names), _IGNORE
    return tuple(names if names[0] == BACKGROUND else [BACKGROUND, *names]), 0


def note_class_names(path: Path, uncovered: int) -> str:
    """Notice of a list that numbers the classes."""
    rest = 'are ignored' if uncovered == _IGNORE else f'are class {uncovered}'
    return f'classes are numbered as in {path}; pixels without a shape {rest}'


def index_images(root: Path) -> dict[str, list[Path]]:
    """Key of the file name, see :func:`image_key` -> the images below ``root`` of that name."""
    found: dict[str, list[Path]] = {}
    for path in walk_files(root):
        found.setdefault(image_key(path.name), []).append(path)
    return found


def image_key(name: str) -> str:
    """What is equal for names that differ only in case or in how accents are written."""
    return composed(name.lower())


def find_image(
    reference: str,
    *,
    near: Path,
    root: Path,
    index: Mapping[str, list[Path]],
    split: str | None = None,
) -> Path | None:
    """The image that an annotation file names, wherever it lies now.

    Args:
        reference: path or address as written, perhaps on another machine.
        near: folder of the annotation file.
        root: folder of the data.
        index: from :func:`index_images`.
        split: of the annotation file; of several images of one name the one in its folder is meant.

    Raises:
        DataError: several images have that name, or it is of a format that training does not read.
    """
    for written in dict.fromkeys((reference, _unquoted(reference))):
        found = _find_written(written, near, root, index, split)
        if found is not None:
            return found
    return None


def _unquoted(reference: str) -> str:
    """Path of an address, without what is asked for and with plain characters for ``%20``."""
    path, mark, _ = reference.partition('?')
    return unquote(path if mark and '://' in path else reference)


def _find_written(
    reference: str, near: Path, root: Path, index: Mapping[str, list[Path]], split: str | None
) -> Path | None:
    parts = Path(reference.replace('\\', '/').replace('\0', '')).parts
    if '..' in parts and parts[-1].lower().endswith(IMAGE_ENDINGS):
        # as labelme and predictions write it: seen from the file, also outside of the data
        for folder in (near, near.resolve()):
            image = Path(os.path.normpath(folder.joinpath(*parts)))
            if is_there(image):
                return image
    for base in (near, root):
        if parts and '..' not in parts and is_there(base / Path(*parts)):
            if not parts[-1].lower().endswith(IMAGE_ENDINGS):
                raise DataError(
                    f'{base / Path(*parts)} is none of the formats that training reads '
                    f'({", ".join(IMAGE_ENDINGS)}): convert it to one of them'
                )
            return base / Path(*parts)
    found = index.get(image_key(parts[-1]), []) if parts else []
    wanted = list(map(composed, parts))
    # of several, the one that shares the most folder names with the reference
    for length in range(len(parts), 0, -1):
        ends = {path: list(map(composed, path.parts[-length:])) for path in found}
        same = [path for path in found if ends[path] == wanted[-length:]]
        if len(same) > 1 and split:
            same = [p for p in same if split_in_folders(p, root) == split] or same
        if len(same) > 1 and near != root:
            same = [path for path in same if path.is_relative_to(near)] or same
        if len(same) == 1:
            return same[0]
        if len(same) > 1:
            raise DataError(f'{reference} may be {same[0]} or {same[1]}: rename one of them')
    return found[0] if len(found) == 1 else None


def class_palette(number: int) -> Palette:
    """Black for class 0 and clearly different colors for the others, always the same ones."""
    others = ((red, green, blue) for red, green, blue in distinct_colors(max(number - 1, 0)))
    return ((0, 0, 0), *others)[:number]
