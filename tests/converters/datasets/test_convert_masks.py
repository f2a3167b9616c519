"""Users' own label images: colors, 0/255 masks, class numbers, folders."""

import json
from pathlib import Path

import numpy as np
import pytest
from in_one_test import in_one_test
from PIL import Image
from tiny_sets import files_below, image, label_of, numbers, save

from openseg_plugin.converters.datasets import Settings, convert
from openseg_plugin.converters.datasets.core.pairs import class_palette
from openseg_plugin.converters.datasets.masks import read_color_table
from openseg_plugin.errors import ConfigError, DataError

QUIET = Settings(show_progress=False)


COLORS = {(0, 0, 0): 'void', (200, 10, 10): 'wire', (10, 10, 200): 'mast or pole'}


def colored(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """A color image and the index of its colors in COLORS."""
    index = numbers(2, seed)
    return np.array(list(COLORS), np.uint8)[index], index


TABLES = {
    'rgb first': ('t.txt', '0 0 0 void\n200 10 10 wire\n10 10 200 mast or pole\n'),
    'name first': ('t.txt', 'void\t0 0 0\nwire\t200 10 10\nmast or pole\t10 10 200\n'),
    'csv with header': (
        't.csv',
        'name,r,g,b\nvoid,0,0,0\nwire,200,10,10\nmast or pole,10,10,200\n',
    ),
    'hex': ('t.txt', '#000000 void\nwire #c80a0a\n0a0ac8 mast or pole\n'),
    'json': ('t.json', json.dumps({name: color for color, name in COLORS.items()})),
}


@in_one_test('name, text', TABLES.values(), ids=TABLES)
def test_read_color_table_of_any_form_gives_names_and_colors(
    tmp_path: Path, name: str, text: str
) -> None:
    (tmp_path / name).write_text(text)
    assert read_color_table(tmp_path / name) == [(n, c) for c, n in COLORS.items()]


@pytest.mark.parametrize('palette', [False, True])
def test_convert_masks_colors_become_the_order_of_the_table(tmp_path: Path, palette: bool) -> None:
    colors, index = colored(0)
    save(tmp_path / 'raw/images/a.png', image())
    if palette:  # indices that say nothing, with the right colors
        mask = Image.fromarray(colors).quantize(colors=8)
        (tmp_path / 'raw/labels').mkdir()
        mask.save(tmp_path / 'raw/labels/a.png')
    else:
        save(tmp_path / 'raw/labels/a.png', colors)
    (tmp_path / 'table.txt').write_text(TABLES['rgb first'][1])
    options = {'colors': str(tmp_path / 'table.txt'), 'ignore': ('void',)}
    report = convert('masks', tmp_path / 'raw', tmp_path / 'dst', options, settings=QUIET)
    assert np.array_equal(label_of(tmp_path / 'dst', 'a'), np.array([255, 0, 1], np.uint8)[index])
    assert report.summary['classes'] == ['wire', 'mast or pole']
    assert report.summary['palette'] == [[200, 10, 10], [10, 10, 200]]


def test_convert_masks_unknown_color_names_file_place_and_color(tmp_path: Path) -> None:
    colors, _ = colored(0)
    colors[3, 5] = 1, 2, 3
    save(tmp_path / 'raw/images/a.png', image())
    save(tmp_path / 'raw/labels/a.png', colors)
    (tmp_path / 'table.txt').write_text(TABLES['rgb first'][1])
    with pytest.raises(DataError, match=r'a\.png .*x=5, y=3: \(1, 2, 3\)'):
        options = {'colors': str(tmp_path / 'table.txt')}
        convert('masks', tmp_path / 'raw', tmp_path / 'dst', options, settings=QUIET)
    with pytest.raises(ConfigError, match='--colors'):
        convert('masks', tmp_path / 'raw', tmp_path / 'dst', settings=QUIET)


MASKS = {
    'gray': lambda m: m * np.uint8(255),
    'rgb': lambda m: np.repeat(m[..., None], 3, 2) * np.uint8(255),
    'one bit': lambda m: m.astype(bool),
}


@pytest.mark.parametrize('encode', MASKS.values(), ids=MASKS)
def test_convert_masks_black_and_white_become_two_classes(tmp_path: Path, encode) -> None:
    mask = numbers(1)
    save(tmp_path / 'raw/imgs/a.png', image())
    save(tmp_path / 'raw/masks/a_mask.png', encode(mask))
    options = {'label_suffix': '_mask', 'classes': ('sky', 'wire')}
    report = convert('masks', tmp_path / 'raw', tmp_path / 'dst', options, settings=QUIET)
    assert np.array_equal(label_of(tmp_path / 'dst', 'a'), mask)
    assert report.summary['classes'] == ['sky', 'wire']
    assert any('0/255 masks' in notice for notice in report.notices)


def test_convert_masks_blurred_black_and_white_needs_threshold(tmp_path: Path) -> None:
    gray = numbers(255)
    save(tmp_path / 'raw/images/a.png', image())
    save(tmp_path / 'raw/labels/a.png', gray)
    with pytest.raises(DataError, match=r'neither 0 nor 255 .* --threshold 128'):
        convert('masks', tmp_path / 'raw', tmp_path / 'a', {'kind': 'binary'}, settings=QUIET)
    options = {'kind': 'binary', 'threshold': 100}
    convert('masks', tmp_path / 'raw', tmp_path / 'b', options, settings=QUIET)
    assert np.array_equal(label_of(tmp_path / 'b', 'a'), gray >= 100)


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
        Image.fromarray(image()).save(path)
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
    assert np.array_equal(label_of(tmp_path / 'dst', 'a'), expected)


def test_convert_masks_images_and_labels_in_one_folder(tmp_path: Path) -> None:
    for name in ('a', 'b', 'c', 'd'):
        save(tmp_path / f'raw/all/{name}.png', image())
        save(tmp_path / f'raw/all/{name}_L.png', numbers(2))
    options = {
        'image_folder': 'all',
        'label_folder': 'all',
        'label_suffix': '_L',
        'val_fraction': 0.5,
    }
    report = convert('masks', tmp_path / 'raw', tmp_path / 'dst', options, settings=QUIET)
    assert report.samples == {'train': 2, 'val': 2}
    assert files_below(tmp_path / 'dst/val/label') == {'b.png', 'd.png'}


@pytest.mark.parametrize('number', [1, 2, 19, 171])
def test_distinct_colors_differ_and_start_black(number: int) -> None:
    colors = class_palette(number)
    assert len(set(colors)) == number and colors[0] == (0, 0, 0)
