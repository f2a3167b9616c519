"""One broken file among many: it is named, and ``--keep-going`` converts the others."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from in_one_test import in_one_test
from scipy.io import savemat
from tiny_sets import image, numbers, save, write_json

from openseg_plugin.converters.datasets import Settings, convert
from openseg_plugin.errors import DataError

RAW = Path(__file__).parents[2] / 'data/converters'
DETAIL = 'VOCdevkit/VOC2010/trainval_merged.json'
SBD = 'benchmark_RELEASE/dataset/cls'


def detail(key: str, change: Callable[[dict], Any]) -> Callable[[Path], None]:
    """Changes the first record of a list of PASCAL in Detail."""

    def break_it(raw: Path) -> None:
        content = json.loads((raw / DETAIL).read_text())
        record = content[key][0]
        content[key][0] = change(record) or record
        (raw / DETAIL).write_text(json.dumps(content))

    return break_it


def matlab(pattern: str, **content: Any) -> Callable[[Path], None]:
    """Replaces the first .mat file; by text where there is no content."""

    def break_it(raw: Path) -> None:
        path = min(raw.glob(pattern))
        path.write_bytes(b'no matlab file' * 20)
        if content:
            savemat(path, content)

    return break_it


def stray_mask(raw: Path) -> None:
    folder = next(raw.rglob('CelebAMask-HQ-mask-anno')) / '0'
    save(folder / 'thumbs.png', numbers(1))


def cut_label(raw: Path) -> None:
    for k in range(3):
        save(raw / f'images/{k}.png', image(k))
        save(raw / f'labels/{k}.png', numbers(3, k))
    (raw / 'labels/0.png').write_bytes((raw / 'labels/0.png').read_bytes()[:60])


def second_file(raw: Path) -> None:
    """One good COCO file, one that is cut short."""
    save(raw / 'a.png', image())
    content = {
        'images': [{'id': 1, 'file_name': 'a.png', 'height': 24, 'width': 32}],
        'annotations': [],
        'categories': [{'id': 7, 'name': 'wire'}],
    }
    write_json(raw / 'instances_val.json', content)
    (raw / 'instances_train.json').write_text('{"images": [')


def empty_list(raw: Path) -> None:
    save(raw / 'a.png', image())
    save(raw / 'b.png', numbers(3))
    (raw / 'train.lst').write_text('')
    (raw / 'val.lst').write_text('a.png b.png')


WIDE = np.zeros((48, 64), np.uint16) + 300
TEXT = np.array([['ab', 'cd']])
# converter and options, what is broken, what the message says
CASES = {
    'annotation without image': (
        'pascal_context json',
        detail('annos_segmentation', lambda x: x.pop('image_id') and None),
        r'merged\.json: annotation \d+ has no image_id',
    ),
    'annotation without class': (
        'pascal_context json',
        detail('annos_segmentation', lambda x: x.pop('category_id') and None),
        r'merged\.json: annotation \d+ has no category_id',
    ),
    'run lengths of another size': (
        'pascal_context json',
        detail('annos_segmentation', lambda x: x['segmentation'].update(size=[2, 2])),
        r'merged\.json: annotation \d+ is for 2x2 pixels',
    ),
    'no annotation': (
        'pascal_context json',
        detail('annos_segmentation', lambda x: 'text'),
        r"merged\.json: annotation number 0 of its list is 'text'",
    ),
    'image without phase': (
        'pascal_context json',
        detail('images', lambda x: x.pop('phase') and None),
        r'merged\.json: image number 0 of its list has no phase',
    ),
    'context: no .mat': ('pascal_context mat', matlab('trainval/*.mat'), 'not the expected'),
    'context: text': ('pascal_context mat', matlab('trainval/*.mat', LabelMap=TEXT), 'no numbers'),
    'stuff: other entry': ('coco_stuff10k', matlab('**/*.mat', T=WIDE), 'has no entry S'),
    'stuff: unknown id': ('coco_stuff10k', matlab('**/*.mat', S=WIDE), 'holds the id 300'),
    'stuff: three axes': ('coco_stuff10k', matlab('**/*.mat', S=WIDE[None]), 'shape .1, 48, 64'),
    'SBD: too large a value': (
        'pascal_voc',
        matlab(f'{SBD}/2008_000002.mat', GTcls={'Segmentation': WIDE}),
        'holds values from 300 to 300',
    ),
    'SBD: no structure': (
        'pascal_voc',
        matlab(f'{SBD}/2008_000002.mat', GTcls=WIDE),
        'not the expected',
    ),
    'faces: stray file': ('celebamask_hq', stray_mask, r'thumbs\.png is not named <number>_'),
    'masks: cut short': ('masks', cut_label, r'labels/0\.png cannot be decoded'),
    'COCO: one file of two': ('coco_polygons', second_file, r'instances_train\.json is not valid'),
    'lists: one of two': ('lists', empty_list, r'train\.lst is empty'),
}


@in_one_test('converter, break_it, text', CASES.values(), ids=CASES)
def test_broken_file_is_named_and_the_others_are_converted(
    converter: str, break_it: Callable[[Path], None], text: str, tmp_path: Path
) -> None:
    name, *kind = converter.split()
    options = {'annotation': kind[0]} if kind else {}
    raw, dst = tmp_path / 'raw', tmp_path / 'dst'
    if (RAW / name).is_dir() and name != 'coco_polygons':
        shutil.copytree(RAW / name / 'raw', raw)
        whole = convert(name, raw, tmp_path / 'whole', options, settings=Settings(workers=1))
        assert not whole.failures
    break_it(raw)
    with pytest.raises(DataError, match=text) as caught:
        convert(name, raw, dst, options, settings=Settings(workers=1, show_progress=False))
    assert str(raw) in str(caught.value)
    settings = Settings(workers=1, keep_going=True, show_progress=False)
    report = convert(name, raw, dst, options, settings=settings)
    assert len(report.failures) >= 1 and report.made + report.kept >= 1
    labels = list(dst.glob('*/label/*.png'))
    assert len(labels) == len(list(dst.glob('*/image/*'))) == report.made + report.kept
