"""List files ``.lst`` as HRNet uses them: one sample per line, picture and label, blanks between.

A list of pictures alone (a test list) has one column; a third column is ignored. Paths are
relative to the folder of the data. Label values stay as they are, apart from ``--ignore``.
"""

import re
from collections import Counter
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath

from openseg_plugin.converters.datasets.core.find import read_names, walk_files
from openseg_plugin.converters.datasets.core.own_data import SPLITS
from openseg_plugin.converters.datasets.core.pairs import picture_name
from openseg_plugin.converters.datasets.core.plan import Draw, Place, Plan, Sample, in_split
from openseg_plugin.converters.datasets.core.registry import converter, option
from openseg_plugin.converters.datasets.core.values import Values, read_values
from openseg_plugin.errors import DataError


@dataclass(frozen=True)
class ListOptions:
    """Options of the converter for list files."""

    lists: tuple[Path, ...] = option((), 'list files (default: all .lst below SRC)')
    root: str = option('', 'folder that the paths start from (default: found by trying)')
    classes: tuple[str, ...] = option((), 'class names in label order (default: class_0, ...)')
    num_classes: int = option(0, 'number of classes; larger values are an error; 0: do not check')
    ignore: tuple[int, ...] = option((), 'label values that become 255')


@dataclass(frozen=True)
class _Line:
    """One line of a list: its place and the paths in it."""

    where: str
    picture: str
    label: str | None


@converter('lists', ListOptions, splits=(), default_splits=())
def plan(src: Path, *, options: ListOptions, splits: tuple[str, ...]) -> Plan:
    """Your own .lst files: lines of picture and label; the split is named after the file."""
    top = src if src.is_dir() else src.parent
    files = list(options.lists) or ([src] if src.is_file() else walk_files(src, ('.lst',)))
    if not files:
        raise DataError(f'{src} has no .lst files: name them with --lists')
    values = Values.named(options.classes, options.num_classes, ignore=options.ignore)
    samples, seen = [], set()
    for path in files:
        split = split_of(path)
        if splits and split not in splits:
            continue
        if split in seen:
            raise DataError(f'{path}: another list is split {split} too; choose with --lists')
        seen.add(split)
        lines = _read(path)
        root = _find_root(lines, top, path, options.root)
        samples += _samples(lines, split, root, values)
    return Plan(samples, values.names, values.palette)


def split_of(path: Path) -> str:
    """Split that a list file is for: train, val, test or trainval if its name says so."""
    words = re.split(r'[^a-z0-9]+', path.stem.lower())
    known = ('trainval', *SPLITS)
    return next((word for word in words if word in known), path.stem)


def _read(path: Path) -> list[_Line]:
    lines = []
    for number, text in enumerate(read_names(path), start=1):
        words = text.split()
        if len(words) > 3:
            raise DataError(
                f'{path}, line {number}: {len(words)} columns; picture and label needed'
            )
        label = words[1] if len(words) > 1 else None
        lines.append(_Line(f'{path}, line {number}', words[0], label))
    if not lines:
        raise DataError(f'{path} is empty')
    return lines


def _find_root(lines: list[_Line], top: Path, path: Path, given: str) -> Path:
    """The folder in which the first picture is found.

    Raises:
        DataError: it is in none.
    """
    nearby = [Path(given)] if given else [top, path.parent, path.parent.parent, *_folders(top)]
    for folder in nearby:
        if (folder / lines[0].picture).is_file():
            return folder
    raise DataError(
        f'{lines[0].where}: {lines[0].picture} is in none of {", ".join(map(str, nearby[:4]))}: '
        'name the folder that the paths start from with --root'
    )


def _folders(top: Path) -> list[Path]:
    return sorted(path for path in top.iterdir() if path.is_dir())


def _samples(lines: list[_Line], split: str, root: Path, values: Values) -> list[Sample]:
    """Samples are named after the picture, with its folders only where names repeat."""
    stems = Counter(PurePosixPath(line.picture).stem for line in lines)
    samples = []
    for line in lines:
        written = PurePosixPath(line.picture)
        stem = written.stem
        if stems[stem] > 1:
            stem = '_'.join(p for p in written.with_suffix('').parts if p not in ('/', '.', '..'))
        picture = root / line.picture
        if not picture.is_file():
            samples.append(Sample(split, stem, problem=f'{line.where}: {picture} is missing'))
            continue
        places = (Place(picture, in_split(split, 'image', picture_name(picture, stem))),)
        if line.label is None:
            samples.append(Sample(split, stem, places=places))
            continue
        label = root / line.label
        if not label.is_file():
            samples.append(Sample(split, stem, problem=f'{line.where}: {label} is missing'))
            continue
        draws = (
            Draw(in_split(split, 'label', f'{stem}.png'), partial(read_values, label, values)),
        )
        samples.append(Sample(split, stem, (label,), places, draws))
    return samples
