"""Users' own data: labelme, polygon lists, list files, label folders. Values computed by hand."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tiny_sets import SIZE, files_below, make_labelme, numbers, picture, save, shape, write_json

from openseg_plugin.converters.datasets import Settings, convert
from openseg_plugin.converters.datasets.core.own_data import distinct_colours
from openseg_plugin.converters.datasets.masks import read_colour_table
from openseg_plugin.errors import ConfigError, DataError

QUIET = Settings(show_progress=False)


def label(dst: Path, name: str, split: str = 'train') -> np.ndarray:
    with Image.open(dst / split / 'label' / f'{name}.png') as opened:
        return np.asarray(opened)


def box(rows: slice, columns: slice, value: int = 1) -> np.ndarray:
    values = np.zeros(SIZE, np.uint8)
    values[rows, columns] = value
    return values


SHAPES = {
    'polygon with outline': (
        shape('wire', [[2, 3], [6, 3], [6, 8], [2, 8]]),
        box(slice(3, 9), slice(2, 7)),
    ),
    'rectangle in any order': (
        shape('wire', [[6, 8], [2, 3]], 'rectangle'),
        box(slice(3, 9), slice(2, 7)),
    ),
    'polygon partly outside': (
        shape('mast', [[-5, -5], [3, -5], [3, 2], [-5, 2]]),
        box(slice(0, 3), slice(0, 4), 2),
    ),
    'ignored': (
        shape('__ignore__', [[0, 0], [1, 1]], 'rectangle'),
        box(slice(0, 2), slice(0, 2), 255),
    ),
}


@pytest.mark.parametrize('drawn, expected', SHAPES.values(), ids=SHAPES)
def test_convert_labelme_shape_covers_these_pixels(
    tmp_path: Path, drawn: dict, expected: np.ndarray
) -> None:
    make_labelme(tmp_path / 'raw', [drawn])
    convert('labelme', tmp_path / 'raw', tmp_path / 'dst', settings=QUIET)
    assert np.array_equal(label(tmp_path / 'dst', 'a'), expected)


@pytest.mark.parametrize('kind', ['line', 'linestrip'])
def test_convert_labelme_line_is_ten_pixels_wide(tmp_path: Path, kind: str) -> None:
    make_labelme(tmp_path / 'raw', [shape('wire', [[0, 12], [31, 12]], kind)])
    convert('labelme', tmp_path / 'raw', tmp_path / 'dst', settings=QUIET)
    rows = np.flatnonzero(label(tmp_path / 'dst', 'a').all(1))
    # which of the two middle rows the line is centred on depends on Pillow's version
    assert len(rows) == 10 and rows.mean() in (11.5, 12.5)
    assert label(tmp_path / 'dst', 'a').sum() == 320


def test_convert_labelme_discs_are_symmetric(tmp_path: Path) -> None:
    shapes = [shape('wire', [[10, 10], [10, 14]], 'circle'), shape('mast', [[25, 10]], 'point')]
    make_labelme(tmp_path / 'raw', shapes)
    convert('labelme', tmp_path / 'raw', tmp_path / 'dst', settings=QUIET)
    found = label(tmp_path / 'dst', 'a')
    assert [found[10, 6:15].tolist(), found[6:15, 10].tolist()] == [[1] * 9] * 2
    assert [found[10, 20:31].tolist(), found[5:16, 25].tolist()] == [[2] * 11] * 2
    assert (found == 1).sum() < 81 and (found == 2).sum() < 121


def test_convert_labelme_later_shape_lies_over_earlier(tmp_path: Path) -> None:
    first, second = [[0, 0], [9, 9]], [[5, 5], [12, 12]]
    make_labelme(
        tmp_path / 'raw', [shape('wire', first, 'rectangle'), shape('mast', second, 'rectangle')]
    )
    convert('labelme', tmp_path / 'raw', tmp_path / 'dst', settings=QUIET)
    expected = box(slice(0, 10), slice(0, 10))
    expected[5:13, 5:13] = 2
    assert np.array_equal(label(tmp_path / 'dst', 'a'), expected)


def test_convert_labelme_without_class_names_sorts_the_labels_found(tmp_path: Path) -> None:
    make_labelme(tmp_path / 'raw', [shape(n, [[0, 0], [1, 1]], 'rectangle') for n in 'ba'])
    (tmp_path / 'raw/class_names.txt').unlink()
    report = convert('labelme', tmp_path / 'raw', tmp_path / 'dst', settings=QUIET)
    assert report.summary['classes'] == ['_background_', 'a', 'b']


def test_convert_labelme_splits_by_folder_or_by_number(tmp_path: Path) -> None:
    for k in range(6):
        make_labelme(tmp_path / 'flat', [], name=f'p{k}')
        make_labelme(tmp_path / 'deep' / ('val' if k == 2 else 'train'), [], name=f'p{k}')
    options = {'val_every': 3}
    flat = convert('labelme', tmp_path / 'flat', tmp_path / 'a', options, settings=QUIET)
    assert flat.samples == {'train': 4, 'val': 2}
    assert files_below(tmp_path / 'a/val/label') == {'p2.png', 'p5.png'}
    deep = convert('labelme', tmp_path / 'deep', tmp_path / 'b', settings=QUIET)
    assert deep.samples == {'train': 5, 'val': 1}


def test_convert_labelme_finds_pictures_named_on_another_machine(tmp_path: Path) -> None:
    make_labelme(tmp_path / 'raw', [])
    content = json.loads((tmp_path / 'raw/a.json').read_text())
    content['imagePath'] = '..\\photos\\A.PNG'
    write_json(tmp_path / 'raw/a.json', content)
    convert('labelme', tmp_path / 'raw', tmp_path / 'dst', settings=QUIET)
    assert (tmp_path / 'dst/train/image/a.png').is_file()


def test_convert_labelme_drawn_on_another_size_says_so(tmp_path: Path) -> None:
    make_labelme(tmp_path / 'raw', [])
    save(tmp_path / 'raw/a.png', picture(size=(32, 24)))
    with pytest.raises(DataError, match=r'a\.json was drawn on 32x24 pixels but its picture is 24'):
        convert('labelme', tmp_path / 'raw', tmp_path / 'dst', settings=QUIET)


def test_convert_labelme_picture_without_json_is_noted(tmp_path: Path) -> None:
    make_labelme(tmp_path / 'raw', [])
    save(tmp_path / 'raw/b.png', picture())
    report = convert('labelme', tmp_path / 'raw', tmp_path / 'dst', settings=QUIET)
    assert '1 pictures have no .json file' in report.notices[0] and 'b.png' in report.notices[0]


def items(number: int, polygons: list) -> list[dict]:
    return [
        {'uris': [f'set/p{k}.jpeg'], 'results': {'polys': [{'poly': p} for p in polygons]}}
        for k in range(number)
    ]


def polygon_list(root: Path, number: int, polygons: list, extra: list | None = None) -> Path:
    for k in range(number):
        (root / 'photos').mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture(k)).save(root / f'photos/p{k}.jpeg')
    return write_json(root / 'all.json', {'items': (extra or []) + items(number, polygons)})


def test_convert_polygon_list_draws_fractions_and_takes_every_eighth(tmp_path: Path) -> None:
    square = [[0.25, 0.25], [0.5, 0.25], [0.5, 1.2], [0.25, 1.2]]
    polygon_list(tmp_path / 'raw', 9, [square], [{'uris': ['set/none.jpeg'], 'results': {}}])
    report = convert('polygon_list', tmp_path / 'raw', tmp_path / 'dst', settings=QUIET)
    assert report.samples == {'train': 8, 'val': 1}
    assert '1 items have no polygons' in report.notices[0]
    assert files_below(tmp_path / 'dst/val') == {'image/p7.jpg', 'label/p7.png'}
    assert np.array_equal(label(tmp_path / 'dst', 'p0'), box(slice(6, 24), slice(8, 17)))


LISTS = {
    'two points': ([[0.1, 0.1], [0.2, 0.2]], 'polygon of 2 points: three are needed'),
    'pixels': ([[10, 10], [20, 10], [20, 20]], 'coordinates in pixels'),
    'outside': ([[1.1, 0.1], [1.2, 0.1], [1.2, 0.3]], 'outside the picture'),
    'no numbers': ([['a', 1], [1, 2], [2, 2]], 'polygon without points'),
}


@pytest.mark.parametrize('polygon, text', LISTS.values(), ids=LISTS)
def test_convert_polygon_list_with_bad_polygon_names_picture(
    tmp_path: Path, polygon: list, text: str
) -> None:
    polygon_list(tmp_path / 'raw', 1, [polygon])
    with pytest.raises(DataError, match=rf'all\.json: set/p0\.jpeg.*{text}'):
        convert('polygon_list', tmp_path / 'raw', tmp_path / 'dst', settings=QUIET)


def make_lists(root: Path) -> Path:
    for k in range(3):
        save(root / f'data/pictures/seq{k % 2}/f{k // 2}.png', picture(k))
        save(root / f'data/labels/seq{k % 2}/f{k // 2}.png', numbers(4, k))
    lines = [
        f'pictures/seq{k % 2}/f{k // 2}.png\tlabels/seq{k % 2}/f{k // 2}.png' for k in range(3)
    ]
    (root / 'train.lst').write_text('\n'.join(lines[:2]) + '\n')
    (root / 'my_val.lst').write_text(lines[2].replace('\t', '  ') + '  third/column.png\n')
    (root / 'test.lst').write_text('pictures/seq0/f0.png\n')
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
        *(f'train/{kind}/pictures_seq{k}_f0.png' for kind in ('image', 'label') for k in (0, 1)),
    }
    assert np.array_equal(label(tmp_path / 'dst', 'pictures_seq1_f0'), numbers(4, 1))


def test_convert_lists_ignore_and_number_of_classes(tmp_path: Path) -> None:
    raw = make_lists(tmp_path / 'raw')
    options = {'num_classes': 4, 'ignore': (4,), 'classes': ('a', 'b', 'c', 'd')}
    report = convert('lists', raw, tmp_path / 'dst', options, settings=QUIET)
    expected = numbers(4, 0)
    expected[expected == 4] = 255
    assert np.array_equal(label(tmp_path / 'dst', 'pictures_seq0_f0'), expected)
    assert report.summary['classes'] == ['a', 'b', 'c', 'd']
    with pytest.raises(DataError, match=r'f1\.png holds values that 4 classes does not|4 \('):
        convert('lists', raw, tmp_path / 'other', {'num_classes': 4}, settings=QUIET)


@pytest.mark.parametrize(
    'line, text',
    [
        ('pictures/seq0/f0.png nowhere.png', r'train\.lst, line 3: .*nowhere\.png is missing'),
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


def test_convert_lists_without_the_pictures_asks_for_root(tmp_path: Path) -> None:
    raw = make_lists(tmp_path / 'raw')
    (raw / 'data').rename(tmp_path / 'elsewhere')
    with pytest.raises(DataError, match='with --root'):
        convert('lists', raw, tmp_path / 'dst', settings=QUIET)
    options = {'root': str(tmp_path / 'elsewhere')}
    assert convert('lists', raw, tmp_path / 'dst', options, settings=QUIET).made == 4


COLOURS = {(0, 0, 0): 'void', (200, 10, 10): 'wire', (10, 10, 200): 'mast or pole'}


def coloured(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """A colour picture and the index of its colours in COLOURS."""
    index = numbers(2, seed)
    return np.array(list(COLOURS), np.uint8)[index], index


TABLES = {
    'rgb first': ('t.txt', '0 0 0 void\n200 10 10 wire\n10 10 200 mast or pole\n'),
    'name first': ('t.txt', 'void\t0 0 0\nwire\t200 10 10\nmast or pole\t10 10 200\n'),
    'csv with header': (
        't.csv',
        'name,r,g,b\nvoid,0,0,0\nwire,200,10,10\nmast or pole,10,10,200\n',
    ),
    'hex': ('t.txt', '#000000 void\nwire #c80a0a\n0a0ac8 mast or pole\n'),
    'json': ('t.json', json.dumps({name: colour for colour, name in COLOURS.items()})),
}


@pytest.mark.parametrize('name, text', TABLES.values(), ids=TABLES)
def test_read_colour_table_of_any_form_gives_names_and_colours(
    tmp_path: Path, name: str, text: str
) -> None:
    (tmp_path / name).write_text(text)
    assert read_colour_table(tmp_path / name) == [(n, c) for c, n in COLOURS.items()]


@pytest.mark.parametrize('palette', [False, True])
def test_convert_masks_colours_become_the_order_of_the_table(tmp_path: Path, palette: bool) -> None:
    colours, index = coloured(0)
    save(tmp_path / 'raw/images/a.png', picture())
    if palette:  # indices that say nothing, with the right colours
        mask = Image.fromarray(colours).quantize(colors=8)
        (tmp_path / 'raw/labels').mkdir()
        mask.save(tmp_path / 'raw/labels/a.png')
    else:
        save(tmp_path / 'raw/labels/a.png', colours)
    (tmp_path / 'table.txt').write_text(TABLES['rgb first'][1])
    options = {'colours': str(tmp_path / 'table.txt'), 'ignore': ('void',)}
    report = convert('masks', tmp_path / 'raw', tmp_path / 'dst', options, settings=QUIET)
    assert np.array_equal(label(tmp_path / 'dst', 'a'), np.array([255, 0, 1], np.uint8)[index])
    assert report.summary['classes'] == ['wire', 'mast or pole']
    assert report.summary['palette'] == [[200, 10, 10], [10, 10, 200]]


def test_convert_masks_unknown_colour_names_file_place_and_colour(tmp_path: Path) -> None:
    colours, _ = coloured(0)
    colours[3, 5] = 1, 2, 3
    save(tmp_path / 'raw/images/a.png', picture())
    save(tmp_path / 'raw/labels/a.png', colours)
    (tmp_path / 'table.txt').write_text(TABLES['rgb first'][1])
    with pytest.raises(DataError, match=r'a\.png has 1 pixels .* x=5, y=3: \(1, 2, 3\)'):
        options = {'colours': str(tmp_path / 'table.txt')}
        convert('masks', tmp_path / 'raw', tmp_path / 'dst', options, settings=QUIET)
    with pytest.raises(ConfigError, match='--colours'):
        convert('masks', tmp_path / 'raw', tmp_path / 'dst', settings=QUIET)


MASKS = {
    'grey': lambda m: m * np.uint8(255),
    'rgb': lambda m: np.repeat(m[..., None], 3, 2) * np.uint8(255),
    'one bit': lambda m: m.astype(bool),
}


@pytest.mark.parametrize('encode', MASKS.values(), ids=MASKS)
def test_convert_masks_black_and_white_become_two_classes(tmp_path: Path, encode) -> None:
    mask = numbers(1)
    save(tmp_path / 'raw/imgs/a.png', picture())
    save(tmp_path / 'raw/masks/a_mask.png', encode(mask))
    options = {'label_ending': '_mask', 'classes': ('sky', 'wire')}
    report = convert('masks', tmp_path / 'raw', tmp_path / 'dst', options, settings=QUIET)
    assert np.array_equal(label(tmp_path / 'dst', 'a'), mask)
    assert report.summary['classes'] == ['sky', 'wire']
    assert any('0/255 masks' in notice for notice in report.notices)


def test_convert_masks_blurred_black_and_white_needs_threshold(tmp_path: Path) -> None:
    grey = numbers(255)
    save(tmp_path / 'raw/images/a.png', picture())
    save(tmp_path / 'raw/labels/a.png', grey)
    with pytest.raises(DataError, match=r'neither 0 nor 255 .* --threshold 128'):
        convert('masks', tmp_path / 'raw', tmp_path / 'a', {'kind': 'binary'}, settings=QUIET)
    options = {'kind': 'binary', 'threshold': 100}
    convert('masks', tmp_path / 'raw', tmp_path / 'b', options, settings=QUIET)
    assert np.array_equal(label(tmp_path / 'b', 'a'), grey >= 100)


LAYOUTS = {
    'kind first': ('images/{split}/{name}.JPG', 'labels/{split}/{name}.png'),
    'split first': ('{split}/img/{name}.jpeg', '{split}/gt/{name}.png'),
}


@pytest.mark.parametrize('images, labels', LAYOUTS.values(), ids=LAYOUTS)
def test_convert_masks_finds_split_folders_and_keeps_numbers(
    tmp_path: Path, images: str, labels: str
) -> None:
    for split, name in (('train', 'a'), ('val', 'b'), ('test', 'c')):
        path = tmp_path / 'raw' / images.format(split=split, name=name)
        path.parent.mkdir(parents=True)
        Image.fromarray(picture()).save(path)
        if split != 'test':
            save(tmp_path / 'raw' / labels.format(split=split, name=name), numbers(3))
    options = {'num_classes': 3, 'ignore': ('3',)}
    report = convert('masks', tmp_path / 'raw', tmp_path / 'dst', options, settings=QUIET)
    assert report.samples == {'train': 1, 'val': 1, 'test': 1}
    assert files_below(tmp_path / 'dst') == {
        'dataset.json',
        'train/image/a.jpg',
        'train/label/a.png',
        'val/image/b.jpg',
        'val/label/b.png',
        'test/image/c.jpg',
    }
    expected = numbers(3)
    expected[expected == 3] = 255
    assert np.array_equal(label(tmp_path / 'dst', 'a'), expected)


def test_convert_masks_pictures_and_labels_in_one_folder(tmp_path: Path) -> None:
    for name in ('a', 'b', 'c', 'd'):
        save(tmp_path / f'raw/all/{name}.png', picture())
        save(tmp_path / f'raw/all/{name}_L.png', numbers(2))
    options = {'image_folder': 'all', 'label_folder': 'all', 'label_ending': '_L', 'val_every': 2}
    report = convert('masks', tmp_path / 'raw', tmp_path / 'dst', options, settings=QUIET)
    assert report.samples == {'train': 2, 'val': 2}
    assert files_below(tmp_path / 'dst/val/label') == {'b.png', 'd.png'}


@pytest.mark.parametrize('number', [1, 2, 19, 171])
def test_distinct_colours_differ_and_start_black(number: int) -> None:
    colours = distinct_colours(number)
    assert len(set(colours)) == number and colours[0] == (0, 0, 0)
