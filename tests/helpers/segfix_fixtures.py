"""Reads the stored results of the original SegFix code, and names the files that belong together.

A fixture is an ``.npz`` with a JSON text ``meta``, results under ``out/`` and inputs beside them.
Images and ``.mat`` files lie next to it. ``KNOWN`` says which names there can be; a file that
none of its patterns takes is unknown, and a failure.
"""

import json
import re
import zlib
from pathlib import Path
from types import SimpleNamespace

import fixture_files
import numpy as np
from PIL import Image

SELECTION = Path(__file__).parent.parent / 'data' / 'segfix'
KINDS = {'semantic': 'cityscapes', 'ade20k': 'ade20k', 'instance': 'instance'}

KNOWN = {
    'gt': r'(semantic|ade20k|instance)_[^/]+\.(npz|png|mat)',
    'targets': r'[^/]+_(semantic|ade20k)_[^/]+\.npz',
    'refine': r'(semantic|ade20k)_[^/]+(\.npz|_(input|refined|gt)\.png|_offset\.mat)',
    'prediction': r'(whole|sliding)_[^/]+\.(npz|mat)',
    'instance': r'[^/]+/(info\.npz|gt_instanceIds\.png|(input|expected)/[^/]+\.(png|txt)|'
    r'offset/[^/]+\.mat)',
    'metrics': r'results\.json|confusion\.npz|seg2bmap\.npz|gtFine/.+_gtFine_(labelIds|'
    r'instanceIds)\.png|pred/[^/]+\.png',
}


def folders() -> list[Path]:
    """Folders that hold the parts ``gt``, ``refine`` ...; the own selection unless one is given."""
    found = fixture_files.fixture_dirs('segfix')
    return found if fixture_files.is_given() else [SELECTION, *found]


def cases(part: str, pattern: str = '*.npz') -> list[Path]:
    """Files of one part that are tested each on its own."""
    return sorted(path for folder in folders() for path in (folder / part).glob(pattern))


def name_of(path: Path) -> str:
    """Id of a case in pytest's list."""
    return path.stem if path.is_file() else path.name


def unknown_files() -> list[str]:
    """Files below the folders that no test reads."""
    unknown = []
    for folder in folders():
        for path in folder.rglob('*'):
            part, _, rest = path.relative_to(folder).as_posix().partition('/')
            if path.is_file() and not re.fullmatch(KNOWN.get(part, '(?!)'), rest):
                unknown.append(str(path))
    return unknown


def kind_of(path: Path) -> str:
    """Kind of the labels of a fixture, by its name."""
    return next(kind for name, kind in KINDS.items() if name in path.stem)


def load(path: Path) -> SimpleNamespace:
    """A fixture: ``meta`` (dict), ``out`` and ``arrays`` (dicts of arrays)."""
    with np.load(path, allow_pickle=False) as stored:
        arrays = {key: stored[key] for key in stored.files}
    meta = json.loads(str(arrays.pop('meta')))
    out = {key[4:]: arrays.pop(key) for key in list(arrays) if key.startswith('out/')}
    return SimpleNamespace(meta=meta, out=out, arrays=arrays)


def image(path: Path) -> np.ndarray:
    """Numbers of a PNG."""
    with Image.open(path) as opened:
        return np.asarray(opened)


def seeded(seed: int, name: str, shape: tuple[int, ...], *, spread: float = 1) -> np.ndarray:
    """Normal numbers that follow from seed and name alone, as the stored runs drew them."""
    bits = np.random.PCG64(zlib.crc32(f'{seed}:{name}'.encode()))
    return np.random.Generator(bits).standard_normal(shape, dtype='float32') * np.float32(spread)
