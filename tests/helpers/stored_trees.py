"""Which options turn a stored raw tree into which stored expected tree, and how they are compared.

A stored tree is a folder ``<name>/raw`` with ``<name>/expected*`` beside it. Maps are compared by
mode and by pixel value, everything else byte for byte. A file ``.empty`` marks an empty folder.
"""

import glob
from collections.abc import Callable
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from openseg_plugin.converters.datasets import converters


def _same(path: str) -> str:
    return glob.escape(path)


def _any_label(path: str) -> str:
    """Labels that the expected tree keeps in one folder."""
    return f'*/label/{glob.escape(path)}'


def _images_as_image(path: str) -> str:
    """openseg's converter for COCO-Stuff writes ``images``, its loader and we use ``image``."""
    return glob.escape(path.replace('/images/', '/image/'))


@dataclass(frozen=True)
class Case:
    """One expected tree.

    Attributes:
        expected: folder below the stored tree.
        converter: name of the converter.
        options: its options.
        splits: splits to convert; empty: those that the expected tree has.
        raw: source below the stored tree.
        ours: path in the expected tree -> glob pattern of the path in our tree.
        not_compared: glob patterns of our files that the expected tree leaves out.
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
            not_compared=('leftImg8bit/*',),
        ),
    ],
    'cityscapes_autolabelled': [
        Case('expected', 'cityscapes_autolabelled', {'layout': 'paddleseg'}, palette=True),
    ],
    'ade20k': [Case('expected', 'ade20k')],
    'lip': [Case('expected', 'lip', {'edge_width': (3, 10)}, not_compared=('*/edge_width10/*',))],
    'cihp': [Case('expected', 'cihp')],
    'atr': [Case('expected', 'atr')],
    'pascal_voc': [
        Case('expected', 'pascal_voc'),
        Case(
            'expected_mmseg',
            'pascal_voc',
            {'layout': 'mmseg'},
            not_compared=(
                '*/JPEGImages/*',
                '*/SegmentationClass/*',
                '*/Segmentation/train.txt',
                '*/Segmentation/val.txt',
                '*/Segmentation/trainval.txt',
            ),
        ),
    ],
    'pascal_context': [
        Case('expected', 'pascal_context', {'annotation': kind}) for kind in ('json', 'mat', 'png')
    ]
    + [
        Case(
            'expected_mmseg',
            'pascal_context',
            {'layout': 'mmseg'},
            not_compared=('*/JPEGImages/*',),
        )
    ],
    'coco_stuff10k': [
        Case('expected', 'coco_stuff10k', {'labels': 'ids'}, ours=_images_as_image),
        Case('expected_mmseg', 'coco_stuff10k', {'layout': 'mmseg'}),
    ],
    'coco_stuff164k': [
        Case('expected_mmseg', 'coco_stuff164k', {'layout': 'mmseg'}, not_compared=('images/*',)),
    ],
    'mapillary': [
        Case(
            'expected_cityscapes_ids',
            'mapillary',
            {'labels': 'cityscapes_ids'},
            not_compared=('*/image/*',),
        ),
    ],
    'celebamask_hq': [
        Case('expected', 'celebamask_hq', {'all_labels': True}, not_compared=('split.json',)),
    ],
    'labelme': [
        Case('expected', 'labelme', ours=_any_label, not_compared=('*/image/*',)),
    ],
    'coco_polygons': [
        Case('expected', 'coco_polygons', ours=_any_label, not_compared=('*/image/*',)),
        Case(
            'expected_crowd_ignored',
            'coco_polygons',
            {'crowd': 'ignore'},
            ours=_any_label,
            not_compared=('*/image/*',),
        ),
    ],
}


def splits_of(expected: Path, case: Case) -> tuple[str, ...]:
    """Splits of which the expected tree has files; empty if its folders are no splits."""
    if case.splits:
        return case.splits
    known = converters()[case.converter].splits
    return tuple(
        split
        for split in known
        if any(p.is_file() and p.name != '.empty' for p in (expected / split).rglob('*'))
    )


def differences(expected: Path, got: Path, case: Case) -> list[str]:
    """What is missing, superfluous or different; empty where the trees agree."""
    found = []
    known = {got / 'dataset.json'}
    for path in sorted(p for p in expected.rglob('*') if p.is_file()):
        name = path.relative_to(expected).as_posix()
        if path.name == '.empty':
            if any((got / name).parent.glob('*')):
                found.append(f'{name}: the folder should be empty')
            continue
        ours = sorted(got.glob(case.ours(name)))
        known.update(ours)
        if len(ours) != 1:
            found.append(f'{name}: {len(ours)} files')
        else:
            found += [f'{name}: {text}' for text in file_differences(path, ours[0])]
    for path in sorted(p for p in got.rglob('*') if p.is_file() and p not in known):
        name = path.relative_to(got).as_posix()
        if not any(fnmatch(name, pattern) for pattern in case.not_compared):
            found.append(f'{name}: not expected')
    return found


def file_differences(expected: Path, got: Path) -> list[str]:
    """How two files differ; maps by mode, palette and value, other files as bytes."""
    if expected.read_bytes() == got.read_bytes():
        return []
    if expected.suffix == '.txt':
        same = expected.read_text().splitlines() == got.read_text().splitlines()
        return [] if same else ['other lines']
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
