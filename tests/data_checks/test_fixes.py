"""Every mistake is found by name, and what the data check says fixes it."""

import json
import re
import shlex
from pathlib import Path

import numpy as np
import pytest
import small_set
from PIL import Image

from openseg_plugin.data_checks.dataset_spec import Pair, Rules, Source, Split
from openseg_plugin.data_checks.examine import Record
from openseg_plugin.data_checks.fixes import KEPT_OF_UNUSABLE, exclude


@pytest.fixture
def data(tmp_path) -> Path:
    return small_set.write(tmp_path / 'my data')


APPLY = tuple(
    f'--apply-fix {key}'
    for key in ('unreadable', 'missing_label', 'size_mismatch', 'duplicate_images', 'extra_label')
)


def fixes(text: str) -> tuple[list[str], list[str]]:
    """Commands and settings that the data check printed."""
    lines = [line.strip() for line in text.splitlines()]
    commands = [line for line in lines if line.startswith('openseg convert-dataset')]
    commands = commands or [line for line in lines if line.endswith(APPLY)]
    settings = [line for line in lines if line.startswith('--cfg-options')]
    return commands, [shlex.split(line) for line in settings]


def colored(values: np.ndarray) -> np.ndarray:
    return np.array(small_set.PALETTE, np.uint8)[values]


def other_palette(values: np.ndarray) -> Image.Image:
    """The colors of the classes, but the first two numbers exchanged."""
    image = Image.fromarray(np.array([1, 0, 2], np.uint8)[values], mode='P')
    image.putpalette([v for k in (1, 0, 2) for v in small_set.PALETTE[k]])
    return image


def ids(values: np.ndarray) -> np.ndarray:
    return np.array([7, 8, 33], np.uint8)[values]


def stray(values: np.ndarray) -> np.ndarray:
    """One pixel of a value that is no class."""
    changed = values.copy()
    changed[0, 4] = 77
    return changed


CITYSCAPES = tuple(f'c{k}' for k in range(19))
VALUES = {
    'mask_0_255': (lambda v: np.where(v == 1, 255, 0).astype(np.uint8), ('ground', 'wire')),
    'off_by_one': (lambda v: v + 1, small_set.CLASSES),
    'raw_ids': (ids, CITYSCAPES),
    'rgb_labels': (colored, small_set.CLASSES),
    'palette_order': (other_palette, small_set.CLASSES),
    'outside_classes': (stray, small_set.CLASSES),
}


@pytest.mark.parametrize('key', VALUES)
def test_wrong_values_in_a_config_are_named_and_fixed(data, run_check, tmp_path, key):
    make, classes = VALUES[key]
    small_set.change(data, make)
    path = small_set.config(tmp_path / 'c.py', data, classes=classes, number=len(classes))
    report = tmp_path / 'the report'
    status, text = run_check(path, '--report', str(report))
    assert status == 1
    assert (report / f'{key}.txt').read_text().count('\n') == 8
    before = {file: file.read_bytes() for file in small_set.labels(data)}
    commands, settings = fixes(text)
    for command in commands:
        small_set.run_command(command, tmp_path)
    status, text = run_check(path, *settings[0])
    assert status == 0, text
    assert before == {file: file.read_bytes() for file in small_set.labels(data)}


@pytest.mark.parametrize('key', VALUES)
def test_wrong_values_in_a_folder_are_named_and_fixed(data, run_check, tmp_path, key):
    make, classes = VALUES[key]
    small_set.change(data, make)
    arguments = ['--classes', *classes]
    if key in ('palette_order', 'rgb_labels'):  # a folder has its palette in dataset.json alone
        write_summary(data)
        arguments = []
    status, text = run_check(data, *arguments, '--report', str(tmp_path / 'report'))
    assert status == 1
    commands, settings = fixes(text)
    assert not settings
    small_set.run_command(commands[0], tmp_path)
    status, text = run_check(Path(f'{data}-fixed'))
    assert status == 0, text
    values = np.asarray(Image.open(Path(f'{data}-fixed') / 'val' / 'label' / '0.png'))
    wanted = [0, 1, 0] if key == 'mask_0_255' else [0, 1, 18] if key == 'raw_ids' else [0, 1, 2]
    if key == 'outside_classes':
        wanted = [0, 255, 2]
    assert values[0, ::4].tolist() == wanted


def write_summary(folder: Path) -> None:
    entries = dict(format=1, converter='masks', classes=small_set.CLASSES, splits={})
    entries['palette'] = small_set.PALETTE
    (folder / 'dataset.json').write_text(json.dumps(entries))


def turned(path: Path, orientation: int) -> None:
    """The image as a JPEG with a camera's mark, in place of the PNG."""
    image = Image.open(path)
    exif = Image.Exif()
    exif[0x0112] = orientation
    image.save(path, format='PNG', exif=exif)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-40])


def shrink(path: Path) -> None:
    Image.open(path).resize((6, 4)).save(path)


FILES = {
    'unreadable': lambda data: cut(data / 'train' / 'image' / '1.png'),
    'missing_label': lambda data: (data / 'train' / 'label' / '1.png').unlink(),
    'size_mismatch': lambda data: shrink(data / 'val' / 'label' / '0.png'),
    'duplicate_images': lambda data: (data / 'train' / 'image' / '2.png').write_bytes(
        (data / 'val' / 'image' / '3.png').read_bytes()
    ),
    'extra_label': lambda data: (data / 'val' / 'image' / '2.png').unlink(),
}


@pytest.mark.parametrize('key', FILES)
@pytest.mark.parametrize('kind', ['folder', 'config'])
def test_bad_files_are_named_and_moved_out(data, run_check, tmp_path, key, kind):
    FILES[key](data)
    source = small_set.config(tmp_path / 'c.py', data) if kind == 'config' else data
    status, text = run_check(source, '--report', str(tmp_path / 'report'))
    assert status == (0 if key in ('duplicate_images', 'extra_label') else 1)
    commands, _ = fixes(text)
    assert len(commands) == 1
    small_set.run_command(commands[0], tmp_path)
    status, text = run_check(source)
    assert status == 0
    assert 'No findings' in text
    assert [path for path in Path(f'{data}-unused').rglob('*') if path.is_file()]


@pytest.mark.parametrize(
    ('pixels', 'options', 'is_offered'),
    [
        (10, {}, True),  # of 1000 in all
        (11, {}, False),
        (999, {}, False),
        (750, {'kept': KEPT_OF_UNUSABLE}, True),
        (751, {'kept': KEPT_OF_UNUSABLE}, False),
        (999, {'kept': 0}, True),
        (1000, {'kept': 0}, False),
    ],
)
def test_files_are_left_out_only_where_every_class_keeps_its_pixels(pixels, options, is_offered):
    pairs = [Pair(Path(f'{k}.jpg'), Path(f'{k}.png')) for k in range(8)]
    split = Split('train', pairs, Rules(('a', 'b')))
    of_b = [pixels, 1000 - pixels, *[0] * 6]
    counts = [{'0': 9000 * (k > 0), '1': n, '255': 10**6 * (k < 1)} for k, n in enumerate(of_b)]
    records = [
        Record(split, pair, {}, {'counts': {value: n for value, n in own.items() if n}})
        for pair, own in zip(pairs, counts)
    ]
    fix = exclude(Source('data', [split]), 'key', [Path('0.jpg')], records, **options)
    assert fix.get('moves', []) == ([Path('0.jpg')] if is_offered else [])


def test_truncated_label_takes_its_image_along(data, run_check, tmp_path):
    cut(data / 'train' / 'label' / '3.png')
    _, text = run_check(data, '--report', str(tmp_path / 'report'))
    assert '3.png: cut short or broken' in text
    small_set.run_command(fixes(text)[0][0], tmp_path)
    assert run_check(data)[0] == 0
    assert len(list((data / 'train' / 'image').iterdir())) == 3


def test_label_drawn_on_the_stored_image_is_fixed_in_a_config(data, run_check, tmp_path):
    turned(data / 'train' / 'image' / '0.png', 6)
    path = small_set.config(tmp_path / 'c.py', data)
    status, text = run_check(path)
    assert status == 1 and 'EXIF' in text
    assert run_check(path, *fixes(text)[1][0])[0] == 0
    status, text = run_check(data)
    assert status == 1
    assert re.search(r'check-dataset .*--ignore-exif', text)
    assert run_check(data, '--ignore-exif')[0] == 0


def test_image_turned_upside_down_is_a_warning(data, run_check):
    turned(data / 'train' / 'image' / '0.png', 3)
    status, text = run_check(data)
    assert status == 0 and 'EXIF: 1 image carries' in text


HEADS = {
    'num_classes of the config': dict(number=5),
    'classes never occur': dict(classes=(*small_set.CLASSES, 'bird'), number=4),
}


@pytest.mark.parametrize('title', HEADS)
def test_class_counts_that_differ_are_fixed(data, run_check, tmp_path, title):
    path = small_set.config(tmp_path / 'c.py', data, **HEADS[title])
    status, text = run_check(path)
    assert title in text
    assert status == (1 if title.startswith('num') else 0)
    settings = [word for words in fixes(text)[1] for word in words[1:]]
    status, text = run_check(path, '--cfg-options', *settings)
    assert status == 0 and 'No findings' in text


def test_reduced_labels_under_reduce_zero_label_are_fixed(data, run_check, tmp_path):
    small_set.change(data, lambda v: np.where(v == 1, 255, v).astype(np.uint8))
    path = small_set.config(tmp_path / 'c.py', data, dataset='reduce_zero_label=True,')
    status, text = run_check(path)
    assert status == 1 and 'reduce_zero_label is on, but 8 labels use 255' in text
    status, text = run_check(path, *fixes(text)[1][0])
    assert status == 0 and 'reduce_zero_label is on' not in text


def test_many_values_outside_are_not_fixed_by_ignoring_them(data, run_check, tmp_path):
    small_set.change(data, lambda v: v * 40)
    status, text = run_check(small_set.config(tmp_path / 'c.py', data))
    assert status == 1 and '67 % of the pixels are too many to be stray' in text
    assert fixes(text) == ([], [])


def test_numbers_with_gaps_in_a_folder_are_a_warning_with_its_fix(data, run_check, tmp_path):
    small_set.change(data, lambda v: v * 40)
    status, text = run_check(data)
    assert status == 0 and 'the labels hold 0, 40, 80' in text
    small_set.run_command(fixes(text)[0][0], tmp_path)
    assert 'No findings' in run_check(Path(f'{data}-fixed'))[1]


def test_healthy_data_has_no_findings(data, run_check, tmp_path):
    for source in (data, small_set.config(tmp_path / 'c.py', data)):
        status, text = run_check(source)
        assert status == 0 and 'No findings: training may start.' in text


def test_lossy_colors_and_instance_maps_have_no_false_fix(data, run_check, tmp_path):
    generator = np.random.default_rng(1)
    path = small_set.labels(data)[0]
    Image.fromarray(generator.integers(0, 256, (40, 60, 3), dtype=np.uint8)).save(path)
    status, text = run_check(data)
    assert status == 1 and 'saved as JPEG' in text
    Image.fromarray(np.full((8, 12), 26001, np.uint16)).save(path)
    status, text = run_check(data)
    assert status == 1 and 'values up to 26001 in 1 label: no class maps' in text
