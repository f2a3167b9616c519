"""COCO's compressed run lengths, against pycocotools."""

import sys
from pathlib import Path

import numpy as np
import pytest
from in_one_test import in_one_test
from pycocotools import mask as coco

from openseg_plugin.converters.datasets.core.masks import decode_counts, decode_rle, runs_of_shapes
from openseg_plugin.errors import DataError, DependencyError

FILE = Path('all.json')
# pycocotools 2.0 on numpy 2
pytestmark = pytest.mark.filterwarnings('ignore:__array__ implementation')


def blobs(seed: int, height: int, width: int, fraction: float) -> np.ndarray:
    """Mask with runs of many lengths: (H, W) bool."""
    rng = np.random.default_rng(seed)
    mask = rng.random((height, width)) < fraction
    for _ in range(4):
        y, x = rng.integers(0, height), rng.integers(0, width)
        mask[y : y + height // 2, x : x + width // 2] ^= True
    return mask


@in_one_test('height, width', [(1, 1), (7, 5), (48, 96), (301, 203), (640, 480)])
@in_one_test('fraction', [0.0, 0.01, 0.5, 1.0])
def test_decode_rle_of_text_gives_the_mask(height: int, width: int, fraction: float) -> None:
    mask = blobs(height, height, width, fraction)
    encoded = coco.encode(np.asfortranarray(mask.astype(np.uint8)))
    size = (height, width)
    as_text = {'size': list(size), 'counts': encoded['counts'].decode()}
    assert np.array_equal(decode_rle(as_text, size=size, path=FILE), mask)
    plain = {'size': list(size), 'counts': decode_counts(encoded['counts']).tolist()}
    assert np.array_equal(decode_rle(plain, size=size, path=FILE), mask)


@in_one_test('seed', range(5))
def test_runs_of_polygons_equal_pycocotools_and_unites_parts(seed: int) -> None:
    rng = np.random.default_rng(seed)
    polygons = [(rng.random(12) * 60).tolist() for _ in range(3)]
    runs = coco.frPyObjects(polygons, 48, 64)
    expected = np.asarray(coco.decode(runs)).any(2)
    columns = np.zeros(48 * 64, bool)
    for start, end in runs_of_shapes([(polygons, 'it')], size=(48, 64))[0]:
        columns[start:end] = True
    assert columns.any() and np.array_equal(columns.reshape(64, 48).T, expected)


@in_one_test(
    'counts, text',
    [
        ('', 'end within a number'),
        ('P', 'end within a number'),
        ('0 0', 'characters that do not occur'),
        ('9é', 'damaged'),
        ('PPPPPPPPPPP0', 'more than 32 bits'),
        ('5', 'cover 5 of 12 pixels'),
        (None, 'damaged'),
    ],
)
def test_decode_rle_of_damaged_text_says_so(counts: str | None, text: str) -> None:
    with pytest.raises(DataError, match=f'all.json: it has damaged run lengths.*{text}|{text}'):
        decode_rle({'size': [3, 4], 'counts': counts}, size=(3, 4), path=FILE, what='it')


def test_polygons_without_pycocotools_says_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, 'pycocotools', None)
    with pytest.raises(DependencyError, match='pip install pycocotools'):
        runs_of_shapes([([[0, 0, 4, 0, 4, 4]], 'it')], size=(8, 8))
