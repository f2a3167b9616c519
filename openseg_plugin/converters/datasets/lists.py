"""List files ``.lst`` as HRNet uses them: one sample per line, image and label, blanks between.

Columns may also be apart by tabs, commas or semicolons, or in quotes, which paths with blanks
need, and ``\\`` separates
folders as ``/`` does. A list of images alone (a test list) has one column; a third column is
ignored. Paths are relative to the folder of the data. Label values stay as they are, apart from
``--ignore``.
"""

import csv
import re
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path, PurePosixPath

from openseg_plugin.converters.datasets.core.find import existing, is_there, read_lines, walk_files
from openseg_plugin.converters.datasets.core.pairs import image_name, names_of
from openseg_plugin.converters.datasets.core.plan import (
    CopyTask,
    Plan,
    RenderTask,
    Sample,
    converter,
    in_split,
    option,
)
from openseg_plugin.converters.datasets.core.values import Values, read_values
from openseg_plugin.errors import DataError
from openseg_plugin.utils.files import IMAGE_ENDINGS, LABEL_ENDINGS, split_of_word


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
    """One line of a list: its place, the paths in it, and what is wrong with it.

    Attributes:
        where: file and number, for messages.
        image: path of the image, with forward slashes.
        label: path of the label, or None.
        words: what lies between blanks where neither tabs nor commas separate columns.
        problem: what is wrong.
    """

    where: str
    image: str
    label: str | None
    words: tuple[str, ...] = ()
    problem: str | None = None


@converter('lists', ListOptions, splits=(), default_splits=(), own=True)
def plan(src: Path, *, options: ListOptions, splits: tuple[str, ...]) -> Plan:
    """Your own .lst files, one per split: lines of image and label."""
    top = src if src.is_dir() else src.parent
    files = list(options.lists) or ([src] if src.is_file() else _find_lists(src))
    if not files:
        raise DataError(f'{src} has no .lst or .txt files that list images: use --lists')
    values = Values.named(options.classes, options.num_classes, ignore=options.ignore)
    samples, seen = [], set()
    notices: list[str] = []
    for path in files:
        split = split_of(path)
        if splits and split not in splits:
            continue
        if split in seen:
            raise DataError(f'{path}: another list is split {split} too; choose with --lists')
        seen.add(split)
        try:
            lines = _without_repeats(_moved(_read(path), top), path, notices)
        except DataError as error:  # the other lists can be converted all the same
            samples.append(Sample(split, path.name, problem=str(error)))
            continue
        if split != 'test' and all(line.label is None for line in lines):
            notices.append(f'{path} lists images alone: split {split} has no labels')
        root = _find_root(lines, top, path, options.root)
        samples += _samples(lines, split, root, values)
    return Plan(samples, values.names, values.palette, notices=tuple(notices), read=files)


def _find_lists(src: Path) -> list[Path]:
    """The .lst files of a folder, or else the .txt and .csv files that begin with an image."""
    found = walk_files(src, ('.lst',))
    return found or [p for p in walk_files(src, ('.txt', '.csv')) if _names_image(p)]


def _names_image(path: Path) -> bool:
    try:
        lines = read_lines(path)
    except DataError:
        return False
    for _, line in lines[:2]:  # the first may be a header
        words = [word for column in _columns(line) for word in column.split()]
        if any(word.lower().endswith(IMAGE_ENDINGS) for word in words):
            return True
    return False


def split_of(path: Path) -> str:
    """Split that a list file is for: train, val, test or trainval if its name says so."""
    words = re.split(r'[^a-z0-9]+', path.stem.lower())
    if 'trainval' in words:
        return 'trainval'
    return next((split for split in map(split_of_word, words) if split), path.stem)


def _read(path: Path) -> list[_Line]:
    lines = []
    found = [(number, text) for number, text in read_lines(path) if not text.startswith('#')]
    if found and _is_header(found[0][1], found[1:2]):
        del found[0]
    rows = [(f'{path}, line {number}', text, _columns(text)) for number, text in found]
    with_labels = any(len(words) > 1 for _, _, words in rows)
    for where, text, words in rows:
        problem = None
        apart: tuple[str, ...] = ()
        if len(words) > 1 and not re.search('[\t,;"]', text):
            apart = tuple(words)
        if len(words) > 3:
            problem = f'{where}: {len(words)} columns; image and label needed'
        elif with_labels and len(words) == 1:
            problem = f'{where}: {words[0]} has no label, other lines have one'
        label = words[1] if len(words) > 1 else None
        lines.append(_Line(where, words[0], label, apart, problem))
    if not lines:
        raise DataError(f'{path} is empty')
    return lines


def _columns(line: str) -> list[str]:
    """Columns of a line: apart by tabs, commas or semicolons where it has any, else by blanks.

    What stands in quotes is one column.
    """
    line = line.replace('\\', '/')
    apart = next((mark for mark in '\t,;' if mark in line), ' ')
    words = next(csv.reader([line], delimiter=apart, skipinitialspace=True), [])
    return [word.strip() for word in words if word.strip()]


def _is_header(line: str, after: list[tuple[int, str]]) -> bool:
    """Whether a line names the columns: it has none of the endings that the next line has."""
    if not after:
        return False
    first, second = (
        [word.lower().endswith(LABEL_ENDINGS) for word in _columns(text)]
        for text in (line, after[0][1])
    )
    return len(first) == len(second) and all(second) and not any(first)


def _moved(lines: list[_Line], top: Path) -> list[_Line]:
    """Lines with absolute paths of another machine, from where the files lie now."""
    written = [line.image for line in lines]
    if not all(re.match('/|[A-Za-z]:/', image) for image in written):
        return lines
    if is_there(Path(written[0])):
        return lines
    parts = PurePosixPath(written[0]).parts
    for k in range(1, len(parts)):
        if is_there(top / PurePosixPath(*parts[k:])):
            return [
                replace(
                    line,
                    image=_without(line.image, k),
                    label=line.label and _without(line.label, k),
                    words=tuple(
                        _without(w, k) if re.match('/|[A-Za-z]:/', w) else w for w in line.words
                    ),
                )
                for line in lines
            ]
    return lines


def _without(path: str, number: int) -> str:
    """A path without its first parts."""
    return str(PurePosixPath(*PurePosixPath(path).parts[number:]))


def _without_repeats(lines: list[_Line], path: Path, notices: list[str]) -> list[_Line]:
    """Each pair of image and label once."""
    first = {(line.image, line.label, line.words): line for line in reversed(lines)}
    kept = list(reversed(first.values()))
    if len(kept) < len(lines):
        notices.append(f'{path} lists {len(lines) - len(kept)} samples twice: each is taken once')
    return kept


def _joined(line: _Line, root: Path) -> _Line:
    """The line with the columns that make both files exist where names have blanks in them."""
    words = line.words
    is_found = is_there(existing(root / line.image))
    if len(words) < 3 and (line.label is None or is_found):
        return line
    if is_found and line.label and is_there(existing(root / line.label)):
        return line
    for cut in range(1, len(words) + 1):
        image, rest = ' '.join(words[:cut]), ' '.join(words[cut:])
        if is_there(root / image) and (not rest or is_there(root / rest)):
            return replace(line, image=image, label=rest or None, problem=None)
    return line


def _find_root(lines: list[_Line], top: Path, path: Path, given: str) -> Path:
    """The folder in which the first image is found, or where that is missing, another one.

    Raises:
        DataError: none of them is in any.
    """
    nearby = [Path(given)] if given else [top, path.parent, path.parent.parent, *_folders(top)]
    nearby = list(dict.fromkeys(nearby))
    for line in lines:
        for folder in nearby:
            if is_there(existing(folder / _joined(line, folder).image)):
                return folder
    raise DataError(
        f'{lines[0].where}: {lines[0].image} is in none of {", ".join(map(str, nearby[:4]))}: '
        'name the folder that the paths start from with --root'
    )


def _folders(top: Path) -> list[Path]:
    return sorted(path for path in top.iterdir() if path.is_dir())


def _samples(lines: list[_Line], split: str, root: Path, values: Values) -> list[Sample]:
    """Samples are named after the image, with its folders only where names repeat."""
    lines = [_joined(line, root) for line in lines]
    called = names_of([PurePosixPath(line.image) for line in lines])
    samples = []
    for stem, line in zip(called, lines):
        image = existing(root / line.image)
        if line.problem:
            samples.append(Sample(split, stem, problem=line.problem))
            continue
        if not is_there(image):
            samples.append(Sample(split, stem, problem=f'{line.where}: {image} is missing'))
            continue
        places = (CopyTask(image, in_split(split, 'image', image_name(image, stem))),)
        if line.label is None:
            samples.append(Sample(split, stem, places=places))
            continue
        label = existing(root / line.label)
        if not is_there(label):
            samples.append(Sample(split, stem, problem=f'{line.where}: {label} is missing'))
            continue
        draws = (
            RenderTask(
                in_split(split, 'label', f'{stem}.png'), partial(read_values, label, values)
            ),
        )
        samples.append(Sample(split, stem, (label,), places, draws))
    return samples
