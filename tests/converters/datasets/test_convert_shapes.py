"""Shapes as people really have them: labelme, X-AnyLabeling and COCO files of every kind."""

import base64
import json
import time
from pathlib import Path

import numpy as np
import pytest
from in_one_test import in_one_test
from PIL import Image
from tiny_sets import SIZE, box, files_below, image, label_of, make_labelme, save, shape, write_json

from openseg_plugin.converters.datasets import Report, Settings, convert
from openseg_plugin.converters.datasets.core import find
from openseg_plugin.converters.datasets.core.shapes import clip_line, clip_polygon
from openseg_plugin.errors import DataError

QUIET = Settings(show_progress=False, workers=1)
SQUARE = [[4, 3], [20, 3], [20, 15], [4, 15]]
FILLED = box(slice(3, 16), slice(4, 21))


def run(name: str, raw: Path, **options) -> Report:
    return convert(name, raw, raw.parent / 'dst', options, settings=QUIET)


def change(path: Path, **entries) -> None:
    write_json(path, {**json.loads(path.read_text()), **entries})


def test_labelme_image_inside_the_file_is_written(tmp_path: Path) -> None:
    make_labelme(tmp_path / 'raw', [shape('wire', SQUARE)])
    content = (tmp_path / 'raw/a.png').read_bytes()
    (tmp_path / 'raw/a.png').unlink()
    change(tmp_path / 'raw/a.json', imageData=base64.b64encode(content).decode())
    run('labelme', tmp_path / 'raw')
    assert (tmp_path / 'dst/train/image/a.png').read_bytes() == content
    assert np.array_equal(label_of(tmp_path / 'dst', 'a'), FILLED)
    check = Settings(show_progress=False, workers=1, check=True)
    assert convert('labelme', tmp_path / 'raw', tmp_path / 'dst', settings=check).kept == 1
    change(tmp_path / 'raw/a.json', imageData='/9j/AAAA')
    with pytest.raises(DataError, match=r'image inside .*a\.json is broken'):
        convert('labelme', tmp_path / 'raw', tmp_path / 'other', settings=QUIET)


def test_labelme_reads_every_file_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in 'ab':
        make_labelme(tmp_path / 'raw', [shape('wire', SQUARE)], name)
    (tmp_path / 'raw/class_names.txt').unlink()
    read = []
    decode = find.decode_text
    monkeypatch.setattr(
        find,
        'decode_text',
        lambda raw, path: read.append(path.name) or decode(raw, path),
    )
    run('labelme', tmp_path / 'raw')
    assert sorted(read) == ['a.json', 'b.json']


def test_labelme_file_that_names_another_image_takes_the_one_beside_it(tmp_path: Path) -> None:
    for k, name in enumerate(('one', 'two')):
        make_labelme(tmp_path / 'raw', [], name)
        save(tmp_path / f'raw/{name}.png', image(k))
    change(tmp_path / 'raw/two.json', imagePath='one.png')
    report = run('labelme', tmp_path / 'raw')
    assert np.array_equal(np.asarray(Image.open(tmp_path / 'dst/train/image/two.png')), image(1))
    assert any('two.json names one.png' in notice for notice in report.notices)


def test_labelme_image_with_several_files_is_said(tmp_path: Path) -> None:
    make_labelme(tmp_path / 'raw', [shape('wire', SQUARE)], 'one')
    (tmp_path / 'raw/copy.json').write_text((tmp_path / 'raw/one.json').read_text())
    report = run('labelme', tmp_path / 'raw')
    assert report.samples == {'train': 2}
    assert any('1 images are named by several files' in notice for notice in report.notices)


def test_labelme_copied_file_in_another_folder_takes_its_own_image(tmp_path: Path) -> None:
    for k, name in enumerate(('one', 'two')):
        make_labelme(tmp_path / 'raw', [], name)
        (tmp_path / 'raw/json').mkdir(exist_ok=True)
        (tmp_path / f'raw/{name}.json').rename(tmp_path / f'raw/json/{name}.json')
        save(tmp_path / f'raw/photos/{name}.png', image(k))
        (tmp_path / f'raw/{name}.png').unlink()
    change(tmp_path / 'raw/json/two.json', imagePath='one.png')
    run('labelme', tmp_path / 'raw')
    assert np.array_equal(np.asarray(Image.open(tmp_path / 'dst/train/image/two.png')), image(1))


BOXES = {
    'rectangle of four corners': ('rectangle', SQUARE, FILLED.sum()),
    'oriented rectangle': ('oriented_rectangle', [[10, 4], [16, 10], [10, 16], [4, 10]], 85),
    'rotation': ('rotation', [[10, 4], [16, 10], [10, 16], [4, 10]], 85),
    'quadrilateral': ('quadrilateral', [[10, 4], [16, 10], [10, 16], [4, 10]], 85),
    'circle of radius 1e7': ('circle', [[10, 12], [1e7, 12]], SIZE[0] * SIZE[1]),
    'corner at 1e8': ('polygon', [[4, 3], [1e8, 3], [1e8, 15], [4, 15]], 13 * 28),
    'line to 1e8': ('line', [[4, 12], [1e8, 12]], 28 * 10),
    'two points': ('points', [[8, 8], [24, 12]], None),
}


@in_one_test('kind, points, pixels', BOXES.values(), ids=BOXES)
def test_labelme_kind_of_shape_covers_its_pixels(
    tmp_path: Path, kind: str, points: list, pixels: int | None
) -> None:
    make_labelme(tmp_path / 'raw', [shape('wire', points, kind)])
    started = time.process_time()
    run('labelme', tmp_path / 'raw')
    assert time.process_time() - started < 30  # drawn as written it takes minutes
    label = label_of(tmp_path / 'dst', 'a')
    if pixels is None:
        assert label[8, 8] == label[12, 24] == 1 and label[10, 16] == 0
    else:
        assert (label == 1).sum() == pixels


BAD = {
    'two points': shape('wire', [[1, 1], [2, 2]]),
    'one place': shape('wire', [[9, 9]] * 3),
    'outside': shape('wire', [[90, 90], [99, 90], [99, 99]]),
    'unknown kind': shape('wire', SQUARE, 'spline'),
    'no label': {'points': SQUARE},
    'no points': {'label': 'wire', 'points': [3]},
    'no number': shape('wire', [['a', 1], [2, 2], [3, 3]]),
}


@in_one_test('bad', BAD.values(), ids=BAD)
def test_labelme_bad_shape_costs_itself_on_request(tmp_path: Path, bad: dict) -> None:
    make_labelme(tmp_path / 'raw', [shape('wire', SQUARE), bad])
    with pytest.raises(DataError, match=r'a\.json: shape 1 .*--skip-bad-shapes'):
        run('labelme', tmp_path / 'raw')
    report = run('labelme', tmp_path / 'raw', skip_bad_shapes=True)
    assert np.array_equal(label_of(tmp_path / 'dst', 'a'), FILLED)
    assert any('1 bad shapes were left out' in n and 'shape 1' in n for n in report.notices)


def test_labels_that_differ_in_case_or_blanks(tmp_path: Path) -> None:
    names = ('car', 'Car', 'car ', 'bus')
    make_labelme(tmp_path / 'raw', [shape(name, SQUARE) for name in names])
    (tmp_path / 'raw/class_names.txt').unlink()
    report = run('labelme', tmp_path / 'raw')
    assert report.summary['classes'] == ['_background_', 'Car', 'bus', 'car']
    assert any("'Car', 'car' differ only in case" in notice for notice in report.notices)
    merged = convert(
        'labelme', tmp_path / 'raw', tmp_path / 'm', {'merge_names': True}, settings=QUIET
    )
    assert merged.summary['classes'] == ['_background_', 'Car', 'bus']


def test_label_may_be_a_number(tmp_path: Path) -> None:
    make_labelme(tmp_path / 'raw', [shape(1, SQUARE)])
    (tmp_path / 'raw/class_names.txt').unlink()
    assert run('labelme', tmp_path / 'raw').summary['classes'] == ['_background_', '1']


@pytest.mark.parametrize('encoding', ['utf-8-sig', 'utf-16', 'utf-16-le', 'utf-32'])
def test_text_in_unicode_is_read_whatever_its_marks(tmp_path: Path, encoding: str) -> None:
    make_labelme(tmp_path / 'raw', [shape('Straße', SQUARE)])
    for name, text in (
        ('class_names.txt', '_background_\r\nStraße\r\n'),
        ('a.json', (tmp_path / 'raw/a.json').read_text()),
    ):
        (tmp_path / 'raw' / name).write_bytes(text.encode(encoding))
    report = run('labelme', tmp_path / 'raw')
    assert report.summary['classes'] == ['_background_', 'Straße']
    assert np.array_equal(label_of(tmp_path / 'dst', 'a'), FILLED)


@pytest.mark.parametrize(
    'text, encoding, name', [('道路和汽车', 'gbk', 'GBK'), ('道路と車だ', 'shift_jis', 'SHIFT-JIS')]
)
def test_text_in_another_encoding_is_refused_with_its_name(
    tmp_path: Path, text: str, encoding: str, name: str
) -> None:
    make_labelme(tmp_path / 'raw', [])
    content = json.dumps({'shapes': [shape(text, SQUARE)]}, ensure_ascii=False)
    (tmp_path / 'raw/a.json').write_bytes(content.encode(encoding))
    with pytest.raises(DataError, match=rf'a\.json is not text in UTF-8 .*{name}.*iconv'):
        run('labelme', tmp_path / 'raw')


@pytest.mark.parametrize(
    'text, said',
    [('{"shapes": [{"label": "\\ud800"}]}', 'half of a character'), ('[' * 100_000, 'not valid')],
)
def test_json_that_cannot_be_used_is_one_sentence(tmp_path: Path, text: str, said: str) -> None:
    make_labelme(tmp_path / 'raw', [])
    (tmp_path / 'raw/a.json').write_text(text)
    with pytest.raises(DataError, match=rf'a\.json .*{said}'):
        run('labelme', tmp_path / 'raw')


def test_image_of_a_format_that_training_does_not_read_is_said(tmp_path: Path) -> None:
    make_labelme(tmp_path / 'raw', [])
    (tmp_path / 'raw/a.png').rename(tmp_path / 'raw/a.heic')
    change(tmp_path / 'raw/a.json', imagePath='a.heic')
    with pytest.raises(DataError, match=r'a\.heic is none of the formats'):
        run('labelme', tmp_path / 'raw')


def coco(path: Path, segmentations: list, names: tuple[str, ...] = ('wire', 'mast'), **image_more):
    """One image with an annotation of the first category per segmentation."""
    listed = {'id': 1, 'file_name': 'a.png', 'height': SIZE[0], 'width': SIZE[1], **image_more}
    save(path.parent / 'a.png', image())
    content = {
        'images': [listed],
        'categories': [{'id': 7 + k, 'name': name} for k, name in enumerate(names)],
        'annotations': [
            {'id': k, 'image_id': 1, 'category_id': 7, 'segmentation': s, 'bbox': [1, 1, 2, 2]}
            for k, s in enumerate(segmentations)
        ],
    }
    return write_json(path, content)


FLAT = [4, 3, 21, 3, 21, 16, 4, 16]


@in_one_test(
    'bad', [[], None, FLAT, [[4, 3, 9, 9]], [[5, 5] * 3], [[1, 1, 9, 1, 5, 1]], {'size': [1, 2]}]
)
def test_coco_bad_annotation_costs_itself_on_request(tmp_path: Path, bad: object) -> None:
    coco(tmp_path / 'raw/all.json', [[FLAT], bad])
    with pytest.raises(DataError, match=r'all\.json: annotation 1 .*--skip-bad-shapes'):
        run('coco_polygons', tmp_path / 'raw')
    report = run('coco_polygons', tmp_path / 'raw', skip_bad_shapes=True)
    assert np.array_equal(label_of(tmp_path / 'dst', 'a'), FILLED)
    assert any('1 bad shapes were left out' in notice for notice in report.notices)


def test_coco_of_boxes_says_so_once(tmp_path: Path) -> None:
    coco(tmp_path / 'raw/all.json', [[], []])
    with pytest.raises(DataError, match=r'all\.json: .*export them as segmentations'):
        run('coco_polygons', tmp_path / 'raw', skip_bad_shapes=True)


def test_coco_coordinates_far_outside_cost_what_the_image_costs(tmp_path: Path) -> None:
    coco(tmp_path / 'raw/all.json', [[[4, 3, 1e8, 3, 1e8, 16, 4, 16]], [[-1e9, 20, 9, 20, 9, 22]]])
    run('coco_polygons', tmp_path / 'raw')
    label = label_of(tmp_path / 'dst', 'a')
    assert (label[3:16, 4:] == 1).all() and (label[:20] == 1).sum() == 13 * 28


def test_coco_sizes_may_be_floats_and_paths_of_windows(tmp_path: Path) -> None:
    coco(
        tmp_path / 'raw/all.json',
        [[FLAT]],
        height=float(SIZE[0]),
        width=float(SIZE[1]),
        file_name='..\\..\\upload\\3\\a.png',
    )
    run('coco_polygons', tmp_path / 'raw')
    assert files_below(tmp_path / 'dst/train') == {'image/a.png', 'label/a.png'}


def test_coco_image_of_another_size_is_refused_before_anything_is_drawn(tmp_path: Path) -> None:
    coco(tmp_path / 'raw/all.json', [[FLAT]], height=10**6, width=10**6)
    with pytest.raises(DataError, match=r'a\.png .*32x24.*1000000x'):
        run('coco_polygons', tmp_path / 'raw')


def test_coco_files_agree_by_the_names_of_categories(tmp_path: Path) -> None:
    first = coco(tmp_path / 'raw/train/all.json', [[FLAT]])
    coco(tmp_path / 'raw/valid/all.json', [[FLAT]], names=('mast', 'wire'))
    report = run('coco_polygons', tmp_path / 'raw')
    assert report.summary['classes'] == ['_background_', 'wire', 'mast']
    assert np.array_equal(label_of(tmp_path / 'dst', 'a'), FILLED)
    assert np.array_equal(label_of(tmp_path / 'dst', 'a', 'val'), FILLED * 2)
    assert any('mast, wire' in notice for notice in report.notices)
    coco(first, [[FLAT]], names=('wire', 'pole'))
    with pytest.raises(DataError, match=r'first.*pole.*second.*mast'):
        run('coco_polygons', tmp_path / 'raw')


def test_coco_equal_names_in_folders_keep_their_folders(tmp_path: Path) -> None:
    for folder in ('one', 'two'):
        coco(tmp_path / f'raw/{folder}/all.json', [[FLAT]])
    run('coco_polygons', tmp_path / 'raw')
    assert files_below(tmp_path / 'dst/train/label') == {'one/a.png', 'two/a.png'}


@pytest.mark.parametrize('merge, classes', [(False, 4), (True, 2)])
def test_coco_categories_of_one_name_are_one_class_on_request(
    tmp_path: Path, merge: bool, classes: int
) -> None:
    coco(tmp_path / 'raw/all.json', [[FLAT]], names=('wire', 'wire', 'Wire'))
    report = run('coco_polygons', tmp_path / 'raw', merge_names=merge)
    assert len(report.summary['classes']) == classes
    assert merge or any('--merge-names' in notice for notice in report.notices)


def test_division_and_folders_survive_an_added_image(tmp_path: Path) -> None:
    for name in ('one/a', 'two/a', 'two/c', 'two/d'):
        make_labelme(tmp_path / 'raw' / name[:3], [shape('wire', SQUARE)], name[4:])
    run('labelme', tmp_path / 'raw', val_fraction=0.5)
    before = files_below(tmp_path / 'dst')
    make_labelme(tmp_path / 'raw/one', [shape('wire', SQUARE)], 'b')
    run('labelme', tmp_path / 'raw', val_fraction=0.5)
    assert {p for p in files_below(tmp_path / 'dst') - before} == {
        'train/image/b.png',
        'train/label/b.png',
    } or {p.rsplit('/')[-1] for p in files_below(tmp_path / 'dst') - before} == {'b.png'}
    assert before <= files_below(tmp_path / 'dst')


def test_clipping_keeps_near_shapes_and_the_pixels_of_far_ones() -> None:
    near = [(1.5, 2.5), (30.25, 2), (8, 20)]
    assert clip_polygon(near, SIZE) == near and clip_line(near, SIZE) == [near]
    far = clip_polygon([(-1e9, -1e9), (1e9, -1e9), (1e9, 1e9), (-1e9, 1e9)], SIZE)
    assert len(far) == 4 and max(abs(v) for corner in far for v in corner) < 200
    assert clip_line([(1e8, 1e8), (1e9, 1e9)], SIZE) == []
    (line,) = clip_line([(0, 0), (1e8, 1e8)], SIZE)
    assert line[0] == (0, 0) and line[1][0] == pytest.approx(line[1][1]) and line[1][0] < 200
