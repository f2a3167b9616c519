"""Users' own list files and polygon lists."""

from pathlib import Path

import numpy as np
import pytest
from in_one_test import in_one_test
from PIL import Image
from tiny_sets import box, files_below, image, label_of, numbers, save, write_json

from openseg_plugin.converters.datasets import Settings, convert
from openseg_plugin.errors import DataError

QUIET = Settings(show_progress=False)


def items(number: int, polygons: list) -> list[dict]:
    return [
        {'uris': [f'set/p{k}.jpeg'], 'results': {'polys': [{'poly': p} for p in polygons]}}
        for k in range(number)
    ]


def polygon_list(root: Path, number: int, polygons: list, extra: list | None = None) -> Path:
    for k in range(number):
        (root / 'photos').mkdir(parents=True, exist_ok=True)
        Image.fromarray(image(k)).save(root / f'photos/p{k}.jpeg')
    return write_json(root / 'all.json', {'items': (extra or []) + items(number, polygons)})


def test_convert_polygon_list_draws_fractions_and_takes_every_eighth(tmp_path: Path) -> None:
    square = [[0.25, 0.25], [0.5, 0.25], [0.5, 1.2], [0.25, 1.2]]
    polygon_list(tmp_path / 'raw', 9, [square], [{'uris': ['set/none.jpeg'], 'results': {}}])
    report = convert('polygon_list', tmp_path / 'raw', tmp_path / 'dst', settings=QUIET)
    assert report.samples == {'train': 8, 'val': 1}
    assert '1 items have no polygons' in report.notices[0]
    assert files_below(tmp_path / 'dst/val') == {'image/p7.jpg', 'label/p7.png'}
    assert np.array_equal(label_of(tmp_path / 'dst', 'p0'), box(slice(6, 24), slice(8, 17)))


LISTS = {
    'two points': ([[0.1, 0.1], [0.2, 0.2]], 'polygon of 2 points: three are needed'),
    'pixels': ([[10, 10], [20, 10], [20, 20]], 'coordinates in pixels'),
    'outside': ([[1.1, 0.1], [1.2, 0.1], [1.2, 0.3]], 'outside the image'),
    'no numbers': ([['a', 1], [1, 2], [2, 2]], 'polygon without points'),
}


@pytest.mark.parametrize('polygon, text', LISTS.values(), ids=LISTS)
def test_convert_polygon_list_with_bad_polygon_names_image(
    tmp_path: Path, polygon: list, text: str
) -> None:
    polygon_list(tmp_path / 'raw', 1, [polygon])
    with pytest.raises(DataError, match=rf'all\.json: set/p0\.jpeg.*{text}'):
        convert('polygon_list', tmp_path / 'raw', tmp_path / 'dst', settings=QUIET)


def make_lists(root: Path) -> Path:
    for k in range(3):
        save(root / f'data/images/seq{k % 2}/f{k // 2}.png', image(k))
        save(root / f'data/labels/seq{k % 2}/f{k // 2}.png', numbers(4, k))
    lines = [f'images/seq{k % 2}/f{k // 2}.png\tlabels/seq{k % 2}/f{k // 2}.png' for k in range(3)]
    (root / 'train.lst').write_text('\n'.join(lines[:2]) + '\n')
    (root / 'my_val.lst').write_text(lines[2].replace('\t', '  ') + '  third/column.png\n')
    (root / 'test.lst').write_text('images/seq0/f0.png\n')
    return root


def test_convert_lists_names_repeat_only_with_their_folder(tmp_path: Path) -> None:
    raw = make_lists(tmp_path / 'raw')
    report = convert('lists', raw, tmp_path / 'dst', {'num_classes': 5}, settings=QUIET)
    assert report.samples == {'val': 1, 'test': 1, 'train': 2}
    assert files_below(tmp_path / 'dst') == {
        'dataset.json',
        'val/image/f1.png',
        'val/label/f1.png',
        'test/image/f0.png',
        *(f'train/{kind}/images/seq{k}/f0.png' for kind in ('image', 'label') for k in (0, 1)),
    }
    assert np.array_equal(label_of(tmp_path / 'dst', 'images/seq1/f0'), numbers(4, 1))


def test_convert_lists_ignore_and_number_of_classes(tmp_path: Path) -> None:
    raw = make_lists(tmp_path / 'raw')
    options = {'num_classes': 4, 'ignore': (4,), 'classes': ('a', 'b', 'c', 'd')}
    report = convert('lists', raw, tmp_path / 'dst', options, settings=QUIET)
    expected = numbers(4, 0)
    expected[expected == 4] = 255
    assert np.array_equal(label_of(tmp_path / 'dst', 'images/seq0/f0'), expected)
    assert report.summary['classes'] == ['a', 'b', 'c', 'd']
    with pytest.raises(DataError, match=r'f1\.png .*4 classes|4 \('):
        convert('lists', raw, tmp_path / 'other', {'num_classes': 4}, settings=QUIET)


@pytest.mark.parametrize(
    'line, text',
    [
        ('images/seq0/f0.png nowhere.png', r'train\.lst, line 3: .*nowhere\.png is missing'),
        ('nowhere.png labels/seq0/f0.png', r'train\.lst, line 3: .*nowhere\.png is missing'),
        ('a b c d', r'train\.lst, line 3: 4 columns'),
    ],
)
def test_convert_lists_with_bad_line_names_it(tmp_path: Path, line: str, text: str) -> None:
    raw = make_lists(tmp_path / 'raw')
    with (raw / 'train.lst').open('a') as file:
        file.write(f'{line}\n')
    with pytest.raises(DataError, match=text):
        convert('lists', raw, tmp_path / 'dst', settings=QUIET)


def test_convert_lists_without_the_images_asks_for_root(tmp_path: Path) -> None:
    raw = make_lists(tmp_path / 'raw')
    (raw / 'data').rename(tmp_path / 'elsewhere')
    with pytest.raises(DataError, match='with --root'):
        convert('lists', raw, tmp_path / 'dst', settings=QUIET)
    options = {'root': str(tmp_path / 'elsewhere')}
    assert convert('lists', raw, tmp_path / 'dst', options, settings=QUIET).made == 4


LINES = {
    'tab': 'img/my photo.png\tlab/my photo.png',
    'comma': 'img/my photo.png, lab/my photo.png',
    'blanks in names': 'img/my photo.png lab/my photo.png',
    'backslashes': 'img\\my photo.png\tlab\\my photo.png',
    'mark of the byte order': '\ufeffimg/my photo.png\tlab/my photo.png\r',
}


@in_one_test('ending', ['lst', 'txt'])
@in_one_test('line', LINES.values(), ids=LINES)
def test_convert_lists_columns_are_apart_however_they_are_written(
    tmp_path: Path, line: str, ending: str
) -> None:
    save(tmp_path / 'raw/img/my photo.png', image())
    save(tmp_path / 'raw/lab/my photo.png', numbers(3))
    (tmp_path / f'raw/valid.{ending}').write_bytes(f'{line}\n'.encode())
    (tmp_path / 'raw/notes.txt').write_text('read me')
    report = convert('lists', tmp_path / 'raw', tmp_path / 'dst', settings=QUIET)
    assert report.samples == {'val': 1}
    assert np.array_equal(label_of(tmp_path / 'dst', 'my photo', 'val'), numbers(3))
    assert 'notes.txt' in report.notices[-1]
