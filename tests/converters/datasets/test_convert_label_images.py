"""Users' own label images of every kind that people bring: how each is read, or refused."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from in_one_test import in_one_test
from PIL import Image
from tiny_sets import SIZE, box, files_below, image, label_of, numbers, save

from openseg_plugin.converters.datasets import Report, Settings, convert
from openseg_plugin.converters.datasets.core.layouts import Names
from openseg_plugin.converters.datasets.core.values import read_color_table
from openseg_plugin.errors import ConfigError, DataError

QUIET = Settings(show_progress=False, workers=1)
MASK = box(slice(4, 20), slice(6, 26))
COLORS = np.array([(128, 64, 128), (128, 128, 128), (0, 0, 0)], np.uint8)


def run(raw: Path, **options) -> Report:
    return convert('masks', raw, raw.parent / 'dst', options, settings=QUIET)


def saved(path: Path, opened: Image.Image, **more) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    opened.save(path, **more)
    return path


def pair(raw: Path, label: Image.Image, name: str = 'a', ending: str = 'png', **more) -> None:
    """An image and its label image."""
    save(raw / f'images/{name}.png', image())
    saved(raw / f'masks/{name}.{ending}', label, **more)


def soft(seed: int = 0) -> np.ndarray:
    """A black and white mask whose border has levels in between: (H, W) uint8."""
    level = np.minimum(np.hypot(*(np.indices(SIZE) - np.array([[[12]], [[16]]]))) / 9, 1)
    noise = np.random.default_rng(seed).integers(0, 4, SIZE)
    return (255 - np.clip((level - 0.6) * 2.6, 0, 1) * (255 - noise)).astype(np.uint8)


def with_opacity(mask: np.ndarray, color: int = 255) -> Image.Image:
    rgba = np.full((*SIZE, 4), color, np.uint8)
    rgba[..., 3] = mask * 255
    return Image.fromarray(rgba)


@pytest.mark.parametrize('color', [0, 255])
def test_mask_in_the_opacity_of_one_color_is_read(tmp_path: Path, color: int) -> None:
    pair(tmp_path / 'raw', with_opacity(MASK, color))
    pair(tmp_path / 'raw', with_opacity(np.zeros(SIZE, np.uint8), color), name='empty')
    report = run(tmp_path / 'raw')
    assert np.array_equal(label_of(tmp_path / 'dst', 'a'), MASK)
    assert not label_of(tmp_path / 'dst', 'empty').any()
    assert any('opacity' in notice for notice in report.notices)


def test_threshold_of_an_opacity_holds_for_empty_masks_too(tmp_path: Path) -> None:
    pair(tmp_path / 'raw', with_opacity(np.zeros(SIZE, np.uint8)), name='a')
    soft_opacity = np.full((*SIZE, 4), 255, np.uint8)
    soft_opacity[..., 3] = soft()
    pair(tmp_path / 'raw', Image.fromarray(soft_opacity), name='b')
    with pytest.raises(DataError, match=r'b\.png .*opacity .*--kind binary --threshold 128'):
        run(tmp_path / 'raw')
    run(tmp_path / 'raw', kind='binary', threshold=128)
    assert not label_of(tmp_path / 'dst', 'a').any()
    assert np.array_equal(label_of(tmp_path / 'dst', 'b'), soft() >= 128)


def test_three_equal_channels_are_numbers(tmp_path: Path) -> None:
    pair(tmp_path / 'raw', Image.fromarray(np.repeat(numbers(4)[..., None], 3, 2)))
    run(tmp_path / 'raw', num_classes=5)
    assert np.array_equal(label_of(tmp_path / 'dst', 'a'), numbers(4))


def test_soft_masks_stop_and_name_the_option_that_reads_them(tmp_path: Path) -> None:
    pair(tmp_path / 'raw', Image.fromarray(MASK * 255), ending='jpg', quality=60)
    with pytest.raises(DataError, match=r'masks/a\.jpg .*--kind binary --threshold 128'):
        run(tmp_path / 'raw')
    run(tmp_path / 'raw', kind='binary', threshold=128)
    assert np.array_equal(label_of(tmp_path / 'dst', 'a'), MASK)


def test_one_soft_mask_among_black_and_white_ones_stops_and_is_named(tmp_path: Path) -> None:
    for k in range(30):
        drawn = soft() if k == 17 else MASK * 255
        pair(tmp_path / 'raw', Image.fromarray(drawn), name=f'{k:02d}')
    with pytest.raises(DataError, match=r'masks/17\.png .*1 of 30.*--threshold 128'):
        run(tmp_path / 'raw')


def test_empty_masks_before_full_ones_do_not_make_numbers_of_the_set(tmp_path: Path) -> None:
    for k in range(30):  # the one with an object lies where a sample of twenty would miss it
        drawn = MASK * 255 if k == 29 else np.zeros(SIZE, np.uint8)
        pair(tmp_path / 'raw', Image.fromarray(drawn), name=f'{k:02d}')
    run(tmp_path / 'raw')
    assert np.array_equal(label_of(tmp_path / 'dst', '29'), MASK)


def test_ignored_border_beside_class_numbers_is_no_soft_mask(tmp_path: Path) -> None:
    label = numbers(18)
    label[:6] = 0
    label[-9:] = 255
    for k in range(3):
        pair(tmp_path / 'raw', Image.fromarray(label), name=f'{k}')
    run(tmp_path / 'raw')
    assert np.array_equal(label_of(tmp_path / 'dst', '0'), label)


def test_probabilities_are_not_truncated(tmp_path: Path) -> None:
    pair(tmp_path / 'raw', Image.fromarray(MASK * np.float32(0.97)), ending='tif')
    with pytest.raises(DataError, match=r'masks/a\.tif .*--threshold'):
        run(tmp_path / 'raw')
    with pytest.raises(DataError, match=r'all below --threshold 128'):
        run(tmp_path / 'raw', kind='binary', threshold=128)
    convert(
        *('masks', tmp_path / 'raw', tmp_path / 'half'),
        {'kind': 'binary', 'threshold': 0.5},
        settings=QUIET,
    )
    assert np.array_equal(label_of(tmp_path / 'half', 'a'), MASK)


def test_gif_mask_is_read_by_its_colors(tmp_path: Path) -> None:
    inverted = Image.fromarray(1 - MASK).convert('P')  # position 0 is white
    inverted.putpalette([255, 255, 255, 0, 0, 0])
    save(tmp_path / 'raw/images/a.png', image())
    saved(tmp_path / 'raw/masks/a_mask.gif', inverted)
    run(tmp_path / 'raw', label_suffix='_mask')
    assert np.array_equal(label_of(tmp_path / 'dst', 'a'), MASK)


def palette_image(label: np.ndarray, colors: list[tuple[int, int, int]]) -> Image.Image:
    made = Image.fromarray(label)
    made.putpalette([v for color in colors for v in color])
    return made


def test_palettes_that_differ_are_refused_or_read_by_color(tmp_path: Path) -> None:
    black, red, green = (0, 0, 0), (128, 0, 0), (0, 128, 0)
    first = numbers(2)
    swapped = np.array([0, 2, 1], np.uint8)[first]
    pair(tmp_path / 'raw', palette_image(first, [black, red, green]), name='a')
    pair(tmp_path / 'raw', palette_image(swapped, [black, green, red]), name='b')
    for kind in ('auto', 'numbers'):
        with pytest.raises(ConfigError, match=r'a\.png .*b\.png .*--colors'):
            run(tmp_path / 'raw', kind=kind)
    (tmp_path / 't.txt').write_text('0 0 0 none\n128 0 0 red\n0 128 0 green\n')
    run(tmp_path / 'raw', colors=str(tmp_path / 't.txt'))
    assert np.array_equal(label_of(tmp_path / 'dst', 'a'), first)
    assert np.array_equal(label_of(tmp_path / 'dst', 'b'), first)


def test_jpeg_with_class_numbers_is_refused(tmp_path: Path) -> None:
    pair(tmp_path / 'raw', Image.fromarray(MASK * 7), ending='jpg', quality=50)
    with pytest.raises(DataError, match=r'masks/a\.jpg .*JPEG'):
        run(tmp_path / 'raw')


NAMES = {
    'suffix': ('a_mask.png', {}, '--label-suffix _mask'),
    'prefix': ('mask_a.png', {}, '--label-prefix mask_'),
    'suffix with its ending': ('a_fine.png', {'label_suffix': '_fine.png'}, None),
    'given prefix': ('gt-a.png', {'label_prefix': 'gt-'}, None),
    'image with its ending': ('a.png.png', {}, None),
    'ending and suffix': ('a.png_L.png', {'label_suffix': '_L'}, None),
}


@in_one_test('file, options, said', NAMES.values(), ids=NAMES)
def test_label_is_found_by_what_it_is_called_more(
    tmp_path: Path, file: str, options: dict, said: str | None
) -> None:
    save(tmp_path / 'raw/images/a.png', image())
    save(tmp_path / f'raw/masks/{file}', numbers(3))
    report = run(tmp_path / 'raw', **options)
    assert files_below(tmp_path / 'dst/train') == {'image/a.png', 'label/a.png'}
    assert said is None or any(said in notice for notice in report.notices)


def test_label_suffix_does_not_take_files_without_it(tmp_path: Path) -> None:
    save(tmp_path / 'raw/images/a.png', image())
    save(tmp_path / 'raw/masks/a.png', numbers(9, 1))
    save(tmp_path / 'raw/masks/a_fine.png', numbers(3))
    report = run(tmp_path / 'raw', label_suffix='_fine')
    assert np.array_equal(label_of(tmp_path / 'dst', 'a'), numbers(3))
    assert '1 file in SRC was not used' in report.notices[-1]


def test_name_of_the_image_is_what_is_left_of_the_name_of_the_label() -> None:
    assert Names('m_', '_x').bare('f/m_a_x') == 'f/a'
    assert Names('m_', '_x').bare('a_x') is None
    assert Names().bare('f/a') == 'f/a'


LAYOUTS = {
    'valid': ('{split}/images/{name}.png', '{split}/labels/{name}.png', 'train valid test'),
    'training, validation': (
        'images/{split}/{name}.png',
        'annotations/{split}/{name}.png',
        'training validation testing',
    ),
    'any case': ('Images/{split}/{name}.png', 'Masks/{split}/{name}.png', 'Train VAL Test'),
    'mmseg': ('img_dir/{split}/{name}.png', 'ann_dir/{split}/{name}.png', 'train val test'),
    'camvid': ('{split}/{name}.png', '{split}_labels/{name}_L.png', 'train val test'),
    'segnet': ('{split}/{name}.png', '{split}annot/{name}.png', 'train val test'),
    'roboflow': ('{split}/{name}.jpg', '{split}/{name}_mask.png', 'train valid test'),
    'wrapped': ('my set/{split}/img/{name}.png', 'my set/{split}/gt/{name}.png', 'train val test'),
}


@in_one_test('images, labels, splits', LAYOUTS.values(), ids=LAYOUTS)
def test_every_split_of_a_layout_is_found_and_nothing_is_left(
    tmp_path: Path, images: str, labels: str, splits: str
) -> None:
    for k, split in enumerate(splits.split()):
        save(tmp_path / 'raw' / images.format(split=split, name=f'n{k}'), image(k))
        save(tmp_path / 'raw' / labels.format(split=split, name=f'n{k}'), numbers(3, k))
    report = run(tmp_path / 'raw', num_classes=4)
    assert report.samples == {'train': 1, 'val': 1, 'test': 1}
    for k, split in enumerate(('train', 'val', 'test')):
        assert np.array_equal(label_of(tmp_path / 'dst', f'n{k}', split), numbers(3, k))
    assert not any('not used' in notice for notice in report.notices)


def test_equal_names_in_folders_keep_their_folders(tmp_path: Path) -> None:
    for name in ('one/a', 'two/a', 'two/b'):
        save(tmp_path / f'raw/images/{name}.png', image())
        save(tmp_path / f'raw/labels/{name}.png', numbers(3))
    run(tmp_path / 'raw')
    labels = files_below(tmp_path / 'dst/train/label')
    assert labels == {'one/a.png', 'two/a.png', 'b.png'}
    again = Settings(show_progress=False, workers=1, check=True)
    checked = convert('masks', tmp_path / 'raw', tmp_path / 'dst', settings=again)
    assert checked.kept == 3 and not checked.failures


def test_what_is_not_used_is_counted_and_named(tmp_path: Path) -> None:
    pair(tmp_path / 'raw', Image.fromarray(numbers(3)))
    save(tmp_path / 'raw/masks/b.png', numbers(3))
    saved(tmp_path / 'raw/images/c.gif', Image.fromarray(numbers(3)))
    (tmp_path / 'raw/.DS_Store').write_text('x')
    (tmp_path / 'raw/images/Thumbs.db').write_text('x')
    notice = run(tmp_path / 'raw').notices[-1]
    assert '2 files in SRC were not used' in notice and 'images/c.gif' in notice


def test_cvat_masks_need_no_option(tmp_path: Path) -> None:
    raw = tmp_path / 'raw'
    lines = ['# label:color_rgb:parts:actions', 'none:0,0,0::', 'Road:128,64,128::']
    (tmp_path / 'raw/ImageSets/Segmentation').mkdir(parents=True)
    (raw / 'labelmap.txt').write_text('\n'.join([*lines, 'Sky:128,128,128::']))
    index = numbers(1)
    for name, split in (('a', 'Train'), ('b', 'Validation')):
        save(raw / f'JPEGImages/{name}.png', image())
        save(raw / f'SegmentationClass/{name}.png', COLORS[index])
        save(raw / f'SegmentationObject/{name}.png', COLORS[index])
        (raw / f'ImageSets/Segmentation/{split}.txt').write_text(f'{name}\n')
    report = run(raw)
    assert report.samples == {'train': 1, 'val': 1}
    assert report.summary['classes'] == ['none', 'Road', 'Sky']
    assert np.array_equal(label_of(tmp_path / 'dst', 'b', 'val'), index + 1)
    assert '2 files in SRC were not used' in report.notices[-1]


def test_roboflow_masks_need_no_option(tmp_path: Path) -> None:
    raw = tmp_path / 'raw'
    for split in ('train', 'valid'):
        save(raw / split / f'{split}_jpg.rf.01.jpg', image())
        save(raw / split / f'{split}_jpg.rf.01_mask.png', numbers(2))
        table = 'Pixel Value, Class\n0, background\n1, car\n2, bus\n'
        (raw / split / '_classes.csv').write_text(table)
    report = run(raw)
    assert report.samples == {'train': 1, 'val': 1}
    assert report.summary['classes'] == ['background', 'car', 'bus']
    assert np.array_equal(label_of(tmp_path / 'dst', 'valid_jpg.rf.01', 'val'), numbers(2))
    (raw / 'valid/_classes.csv').write_text('Pixel Value, Class\n0, background\n1, bus\n')
    with pytest.raises(DataError, match=r'_classes\.csv list different classes'):
        run(raw)


ROWS = [('Road', (128, 64, 128)), ('Sky', (128, 128, 128))]
TABLES = {
    'more columns': 'name,r,g,b,class_11\nRoad,128,64,128,1\nSky,128,128,128,1\n',
    'id first': 'id,r,g,b,name\n0,128,64,128,Road\n1,128,128,128,Sky\n',
    'id and name first': 'id,name,r,g,b\n1,Sky,128,128,128\n0,Road,128,64,128\n',
    'id, no header': '0 128 64 128 Road\n1 128 128 128 Sky\n',
    'mark of the byte order': '\ufeff128 64 128 Road\n128 128 128 Sky\n',
    'semicolons': 'Name;Red;Green;Blue\nRoad;128;64;128\nSky;128;128;128\n',
    'hex column': 'class,color\nRoad,#804080\nSky,#808080\n',
    'cvat': '# label:color_rgb:parts:actions\nRoad:128,64,128::\nSky:128,128,128::\n',
    'objects': '[{"name": "Road", "color": "#804080"}, {"name": "Sky", "color": [128,128,128]}]',
}


@in_one_test('text', TABLES.values(), ids=TABLES)
def test_color_table_is_read_by_what_its_columns_are_called(tmp_path: Path, text: str) -> None:
    path = tmp_path / ('t.json' if text.startswith('[') else 't.csv')
    path.write_text(text, encoding='utf-8')
    assert read_color_table(path) == ROWS
    path.write_text(text, encoding='utf-16')
    assert read_color_table(path) == ROWS


@pytest.mark.parametrize('line', ['128 64', 'Road,128,64,x', '300 1 1 Road'])
def test_line_of_a_color_table_that_is_no_color_is_named(tmp_path: Path, line: str) -> None:
    (tmp_path / 't.txt').write_text(f'{line}\n128 128 128 Sky\n')
    with pytest.raises(DataError, match=r't\.txt, line 1'):
        read_color_table(tmp_path / 't.txt')


def test_names_that_repeat_are_one_class_on_request_only(tmp_path: Path) -> None:
    index = numbers(2)
    pair(tmp_path / 'raw', Image.fromarray(COLORS[index]))
    (tmp_path / 't.txt').write_text('128 64 128 road\n128 128 128 sky\n0 0 0 Road\n')
    colors = str(tmp_path / 't.txt')
    report = run(tmp_path / 'raw', colors=colors)
    assert report.summary['classes'] == ['road', 'sky', 'Road']
    assert any("'road', 'Road' differ only in case" in notice for notice in report.notices)
    options = {'colors': colors, 'merge_names': True}
    merged = convert('masks', tmp_path / 'raw', tmp_path / 'm', options, settings=QUIET)
    assert merged.summary['classes'] == ['road', 'sky']
    expected = np.array([0, 1, 0], np.uint8)[index]
    assert np.array_equal(label_of(tmp_path / 'm', 'a'), expected)


def encoded_16_bit(label: np.ndarray) -> Image.Image:
    return Image.fromarray(label.astype(np.uint16) * 257)


ENCODINGS: dict[str, Callable[[np.ndarray], Image.Image]] = {
    '16 bit': encoded_16_bit,
    'palette of black and white': lambda m: palette_image(m, [(0, 0, 0), (255, 255, 255)]),
    'inverted palette': lambda m: palette_image(1 - m // 255, [(255, 255, 255), (0, 0, 0)]),
    'gray and opacity': lambda m: Image.fromarray(np.stack([m, m * 0 + 255], -1)),
}


@pytest.mark.parametrize('encode', ENCODINGS.values(), ids=ENCODINGS)
def test_black_and_white_of_any_mode_is_two_classes(tmp_path: Path, encode) -> None:
    is_palette = encode is ENCODINGS['palette of black and white']
    pair(tmp_path / 'raw', encode(MASK if is_palette else MASK * 255))
    report = run(tmp_path / 'raw')
    assert report.summary['classes'] == ['background', 'foreground']
    assert np.array_equal(label_of(tmp_path / 'dst', 'a'), MASK)
