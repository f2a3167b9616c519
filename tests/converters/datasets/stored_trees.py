"""Which options turn a stored raw tree into which stored expected tree, and how they are compared.

A stored tree is a folder ``<name>/raw`` with ``<name>/expected*`` beside it. Maps are compared by
mode and by pixel value, everything else byte for byte. A file ``.empty`` marks an empty folder.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image


def _same(path: str) -> str:
    return path


@dataclass(frozen=True)
class Case:
    """One expected tree.

    Attributes:
        expected: folder below the stored tree.
        converter: name of the converter.
        options: its options.
        splits: splits to convert; empty: the default ones.
        raw: source below the stored tree.
        ours: path in the expected tree -> path in our tree.
        not_compared: first path components of ours that the expected tree leaves out.
        palette: write palette PNGs.
    """

    expected: str
    converter: str
    options: dict[str, Any] = field(default_factory=dict)
    splits: tuple[str, ...] = ()
    raw: str = 'raw'
    ours: Callable[[str], str] = _same
    not_compared: tuple[str, ...] = ()
    palette: bool = False


CASES: dict[str, list[Case]] = {
    'cityscapes': [
        Case('expected/fine', 'cityscapes', {'labels': 'ids', 'instance': True}),
        Case('expected/coarse', 'cityscapes', {'labels': 'ids', 'instance': True, 'coarse': True}),
        Case(
            'expected_mmseg',
            'cityscapes',
            {'layout': 'mmseg', 'coarse': True},
            splits=('train', 'val', 'test', 'coarse'),
            not_compared=('leftImg8bit',),
        ),
    ],
}


def differences(expected: Path, got: Path, case: Case) -> list[str]:
    """What is missing, superfluous or different; empty where the trees agree."""
    found = []
    known = {'dataset.json'}
    for path in sorted(p for p in expected.rglob('*') if p.is_file()):
        name = path.relative_to(expected).as_posix()
        ours = got / case.ours(name)
        if path.name == '.empty':
            if ours.parent.is_dir() and any(ours.parent.iterdir()):
                found.append(f'{name}: the folder should be empty')
            continue
        known.add(case.ours(name))
        if not ours.is_file():
            found.append(f'{name}: missing')
        else:
            found += [f'{name}: {text}' for text in file_differences(path, ours)]
    for path in sorted(p for p in got.rglob('*') if p.is_file()):
        name = path.relative_to(got).as_posix()
        if name not in known and not name.startswith(tuple(f'{x}/' for x in case.not_compared)):
            found.append(f'{name}: not expected')
    return found


def file_differences(expected: Path, got: Path) -> list[str]:
    """How two files differ; maps by mode, palette and value, other files as bytes."""
    if expected.read_bytes() == got.read_bytes():
        return []
    if expected.suffix != '.png':
        return ['other content']
    with Image.open(expected) as a, Image.open(got) as b:
        if a.mode != b.mode:
            return [f'mode {b.mode}, expected {a.mode}']
        if a.mode == 'P':
            palette = a.getpalette() or []
            if palette != (b.getpalette() or [])[: len(palette)]:
                return ['other palette']
        a_values, b_values = np.asarray(a), np.asarray(b)
    if a_values.shape != b_values.shape:
        return [f'shape {b_values.shape}, expected {a_values.shape}']
    wrong = np.argwhere(a_values != b_values)
    if not wrong.size:
        return []
    where = tuple(wrong[0])
    return [
        f'{len(wrong)} of {a_values.size} values differ, the first at {where}: '
        f'{b_values[where]}, expected {a_values[where]}'
    ]
