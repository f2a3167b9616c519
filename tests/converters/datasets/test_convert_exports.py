"""Exports of annotation programs: YOLO, CVAT, VIA, Label Studio, COCO panoptic."""

from pathlib import Path

import numpy as np
import pytest
from in_one_test import in_one_test
from tiny_sets import SIZE, box, files_below, image, label_of, save, write_json

from openseg_plugin.converters.datasets import Report, Settings, convert
from openseg_plugin.converters.datasets.label_studio import decode_brush
from openseg_plugin.errors import ConfigError, DataError

QUIET = Settings(show_progress=False, workers=1)
FILLED = box(slice(3, 16), slice(4, 21))  # corners 4, 3 and 20, 15


def run(name: str, raw: Path, **options) -> Report:
    return convert(name, raw, raw.parent / 'dst', options, settings=QUIET)


def make_yolo(root: Path, lines: dict[str, str], layout: str = 'images/{split}/{name}.png') -> Path:
    """Images a and b in train and val with these lines."""
    for split, name in (('train', 'a'), ('val', 'b')):
        path = root / layout.format(split=split, name=name)
        save(path, image())
        text = Path(*('labels' if p == 'images' else p for p in path.with_suffix('.txt').parts))
        text.parent.mkdir(parents=True, exist_ok=True)
        if name in lines:
            text.write_text(lines[name])
    return root


def yolo_line(number: int) -> str:
    corners = ((4, 3), (20, 3), (20, 15), (4, 15))
    return f'{number} ' + ' '.join(f'{x / SIZE[1]:.6f} {y / SIZE[0]:.6f}' for x, y in corners)


YAML = {
    'folders': 'train: images/train\nval: images/val\nnames: [car, bus]\n',
    'roboflow': 'train: ../train/images\nval: ../valid/images\nnc: 2\nnames: {0: car, 1: bus}\n',
    'another machine': 'path: /content\ntrain: images/train\nval: images/val\nnames: [car, bus]\n',
    'list': 'train: train.txt\nval: images/val\nnames: [car, bus]\n',
}


@pytest.mark.parametrize('kind', YAML)
def test_yolo_polygons_and_names(tmp_path: Path, kind: str) -> None:
    layout = 'images/{split}/{name}.png'
    raw = tmp_path / 'raw'
    make_yolo(
        raw, {'a': yolo_line(1)}, '{split}/images/{name}.png' if kind == 'roboflow' else layout
    )
    if kind == 'roboflow':
        (raw / 'val').rename(raw / 'valid')
    if kind == 'list':
        (raw / 'train.txt').write_text('./images/train/a.png\n')
    (raw / 'data.yaml').write_text(YAML[kind])
    report = run('yolo_seg', raw)
    assert report.samples == {'train': 1, 'val': 1} and report.notices == ()
    assert report.summary['classes'] == ['_background_', 'car', 'bus']
    assert np.array_equal(label_of(tmp_path / 'dst', 'a'), FILLED * 2)
    assert not label_of(tmp_path / 'dst', 'b', 'val').any()  # no file: no object


BAD_LINES = {
    'box': ('0 0.5 0.5 0.1 0.1', 'holds a box'),
    'class': ('7 0.1 0.1 0.5 0.1 0.5 0.5', 'has class 7'),
    'odd': ('0 0.1 0.1 0.5 0.1 0.5', 'coordinates, which are no pairs'),
    'pixels': ('0 4 3 20 3 20 15', 'coordinates in pixels'),
    'words': ('car 0.1 0.1 0.5 0.1 0.5 0.5', 'which is no polygon'),
}


@in_one_test('line, said', BAD_LINES.values(), ids=BAD_LINES)
def test_yolo_bad_line_is_named_and_left_out_on_request(
    tmp_path: Path, line: str, said: str
) -> None:
    raw = make_yolo(tmp_path / 'raw', {'a': f'{yolo_line(0)}\n{line}\n'})
    (raw / 'data.yaml').write_text(YAML['folders'])
    with pytest.raises(DataError, match=rf'a\.txt: line 2.* {said}'):
        run('yolo_seg', raw)
    run('yolo_seg', raw, skip_bad_shapes=True)
    assert np.array_equal(label_of(tmp_path / 'dst', 'a'), FILLED)


def test_yolo_of_boxes_or_without_names_is_one_sentence(tmp_path: Path) -> None:
    raw = make_yolo(tmp_path / 'raw', {'a': '0 0.5 0.5 0.1 0.1\n'})
    (raw / 'data.yaml').write_text(YAML['folders'])
    with pytest.raises(DataError, match='boxes, no polygons'):
        run('yolo_seg', raw)
    for text in (
        'train: images/train\n',
        '{[',
        '- 1\n',
        'names: !!python/object/apply:os.abort []',
    ):
        (raw / 'data.yaml').write_text(text)
        with pytest.raises(DataError, match=r'data\.yaml'):
            run('yolo_seg', raw)


SHAPES = """
<box label="bus" xtl="0" ytl="0" xbr="31" ybr="23" z_order="-1" {rotation}/>
<polygon label="car" points="4,3;20,3;20,15;4,15" z_order="1"/>
<mask label="bus" rle="1, 2" left="1" top="1" width="3" height="1" z_order="2"/>
"""


def make_cvat(root: Path, shapes: str, head: str = '', more: str = '') -> Path:
    save(root / 'images/a.png', image())
    (root / 'annotations.xml').write_text(
        f'<?xml version="1.0" encoding="utf-8"?>\n{head}<annotations><version>1.1</version>{more}'
        f'<image id="0" name="a.png" subset="Validation" width="{SIZE[1]}" height="{SIZE[0]}">'
        f'{shapes}</image></annotations>'
    )
    return root


def test_cvat_shapes_are_drawn_by_their_order(tmp_path: Path) -> None:
    labels = '<meta><job><labels><label><name>car</name></label><label><name>bus</name></label>'
    raw = make_cvat(
        tmp_path / 'raw', SHAPES.format(rotation=''), more=f'{labels}</labels></job></meta>'
    )
    report = run('cvat', raw)
    assert report.summary['classes'] == ['_background_', 'car', 'bus']
    expected = np.where(FILLED, 1, 2).astype(np.uint8)
    expected[1, 2:4] = 2
    assert np.array_equal(label_of(tmp_path / 'dst', 'a', 'val'), expected)
    assert report.notices == ()


def test_cvat_turned_box_and_ellipse(tmp_path: Path) -> None:
    box_, ellipse = (
        '<box label="car" xtl="10" ytl="10" xbr="22" ybr="12" rotation="90"/>',
        '<ellipse label="bus" cx="5" cy="12" rx="2" ry="9"/>',
    )
    run('cvat', make_cvat(tmp_path / 'raw', box_ + ellipse))
    label = label_of(tmp_path / 'dst', 'a', 'val')
    ys, xs = np.nonzero(label == 2)
    assert (xs.min(), xs.max(), ys.min(), ys.max()) == (15, 17, 5, 17)
    ys, xs = np.nonzero(label == 1)
    assert (xs.min(), xs.max(), ys.min(), ys.max()) == (3, 7, 3, 21)


BAD_XML = {
    'entities': ('<!DOCTYPE a [<!ENTITY b "c">]>', '', 'document type'),
    'video': ('', '</image><track id="0"/><image>', 'tracks of a video'),
    'number': ('', '<polygon label="car" points="a,3;4,4;5,6"/>', 'cannot be read'),
    'cuboid': ('', '<cuboid label="car"/>', "shape type 'cuboid'"),
    'runs': (
        '',
        '<mask label="car" rle="9" left="0" top="0" width="2" height="2"/>',
        'run lengths',
    ),
    'size': (
        '',
        '<mask label="car" rle="1" left="0" top="0" width="999999" height="9"/>',
        'a mask of',
    ),
}


@in_one_test('head, shapes, said', BAD_XML.values(), ids=BAD_XML)
def test_cvat_mistake_is_one_sentence(tmp_path: Path, head: str, shapes: str, said: str) -> None:
    with pytest.raises(DataError, match=rf'annotations\.xml.* {said}'):
        run('cvat', make_cvat(tmp_path / 'raw', shapes, head))


def via_region(attributes: dict, **shape) -> dict:
    return {'shape_attributes': shape, 'region_attributes': attributes}


POLYGON = {'name': 'polygon', 'all_points_x': [4, 20, 20, 4], 'all_points_y': [3, 3, 15, 15]}


@pytest.mark.parametrize('version', [1, 2, 'project'])
def test_via_regions_are_drawn(tmp_path: Path, version: object) -> None:
    regions = [
        via_region({'kind': 'car'}, **POLYGON),
        via_region({'kind': {'bus': True}}, name='rect', x=24, y=0, width=3, height=2),
        via_region({'kind': 'bus'}, name='circle', cx=28, cy=18, r=2),
    ]
    if version == 1:
        regions = {str(k): region for k, region in enumerate(regions)}
    content = {'a.png9': {'filename': 'a.png', 'size': 9, 'regions': regions}}
    if version == 'project':
        content = {'_via_settings': {}, '_via_img_metadata': content}
    save(tmp_path / 'raw/a.png', image())
    write_json(tmp_path / 'raw/via.json', content)
    report = run('via', tmp_path / 'raw')
    assert report.summary['classes'] == ['_background_', 'bus', 'car'] and report.notices == ()
    label = label_of(tmp_path / 'dst', 'a')
    assert np.array_equal(label == 2, FILLED == 1)
    assert (label[:3, 24:28] == 1).all() and label[18, 30] == label[16, 28] == 1


def test_via_with_several_attributes_asks_which_is_the_class(tmp_path: Path) -> None:
    save(tmp_path / 'raw/a.png', image())
    region = via_region({'species': 'owl', 'age': '3'}, **POLYGON)
    write_json(tmp_path / 'raw/v.json', {'a': {'filename': 'a.png', 'regions': [region]}})
    with pytest.raises(ConfigError, match=r'species, age.*--attribute'):
        run('via', tmp_path / 'raw')
    report = run('via', tmp_path / 'raw', attribute='species')
    assert report.summary['classes'] == ['_background_', 'owl']


def studio(root: Path, results: list, **task) -> Path:
    save(root / 'a.png', image())
    size = {'original_width': SIZE[1], 'original_height': SIZE[0]}
    content = {
        'id': 5,
        'data': {'image': '/data/upload/1/0c5dfa2e-a.png'},
        'annotations': [
            {'was_cancelled': True, 'result': []},
            {'result': [{**size, **result} for result in results]},
        ],
        **task,
    }
    write_json(root / 'export.json', [content])
    return root


def per_cent(*corners: tuple[float, float]) -> list[list[float]]:
    return [[100 * x / SIZE[1], 100 * y / SIZE[0]] for x, y in corners]


def brush(mask: np.ndarray) -> list[int]:
    """A brush stroke as Label Studio packs it, without any compression but one run."""
    values = np.repeat(mask.ravel().astype(np.uint8) * 255, 4)
    bits = f'{values.size:032b}{7:05b}' + f'{15:04b}' * 4
    start = 0
    while start < values.size:
        end = start + 1
        while end < values.size and values[end] == values[start] and end - start < 65536:
            end += 1
        if end - start > 1:
            bits += f'1{0:02b}{end - start - 1:016b}{values[start]:08b}'
        else:
            bits += f'0{1:02b}{0:016b}{values[start]:08b}'
        start = end
    bits += '0' * (-len(bits) % 8)
    return [int(bits[k : k + 8], 2) for k in range(0, len(bits), 8)]


def test_label_studio_regions_are_drawn(tmp_path: Path) -> None:
    stroke = box(slice(18, 22), slice(2, 9)).astype(bool)
    stroke[20, 4] = False
    points = per_cent((4, 3), (20, 3), (20, 15), (4, 15))
    (x, y), (right, bottom) = per_cent((24, 2), (28, 6))
    rectangle = {'x': x, 'y': y, 'width': right - x, 'height': bottom - y}
    raw = studio(
        tmp_path / 'raw',
        [
            {'type': 'polygonlabels', 'value': {'points': points, 'polygonlabels': ['car']}},
            {'type': 'rectanglelabels', 'value': {**rectangle, 'rectanglelabels': ['car']}},
            {'type': 'brushlabels', 'value': {'rle': brush(stroke), 'brushlabels': ['bus']}},
            {'type': 'choices', 'value': {'choices': ['good']}},
        ],
    )
    report = run('label_studio', raw)
    assert report.summary['classes'] == ['_background_', 'bus', 'car']
    expected = FILLED * 2
    expected[2:7, 24:29] = 2
    expected[stroke] = 1
    assert np.array_equal(label_of(tmp_path / 'dst', 'a'), expected)
    assert files_below(tmp_path / 'dst/train') == {'image/a.png', 'label/a.png'}


def test_label_studio_short_export_and_task_without_annotation(tmp_path: Path) -> None:
    points = per_cent((4, 3), (20, 3), (20, 15), (4, 15))
    region = {
        'points': points,
        'polygonlabels': ['car'],
        'original_width': 32,
        'original_height': 24,
    }
    for name in 'ab':
        save(tmp_path / f'raw/{name}.png', image())
    tasks = [
        {'id': 1, 'image': 's3://bucket/a.png', 'label': [region]},
        {'id': 2, 'data': {'image': '/data/local-files/?d=x/b.png'}, 'annotations': []},
    ]
    write_json(tmp_path / 'raw/min.json', tasks)
    report = run('label_studio', tmp_path / 'raw')
    assert np.array_equal(label_of(tmp_path / 'dst', 'a'), FILLED)
    assert not label_of(tmp_path / 'dst', 'b').any()
    assert any('1 tasks have no annotation' in notice for notice in report.notices)


@pytest.mark.parametrize(
    'packed, said',
    [([1], 'ends early'), ([255] * 9, 'is for'), ('x', 'no list of bytes'), ([300], 'no list')],
)
def test_damaged_brush_stroke_is_one_sentence(packed: object, said: str) -> None:
    with pytest.raises(DataError, match=said):
        decode_brush(packed, (24, 32))
    cut = brush(np.eye(24, 32, dtype=bool))[:-9]
    with pytest.raises(DataError, match='ends early'):
        decode_brush(cut, (24, 32))


def make_panoptic(root: Path) -> Path:
    ids = np.zeros(SIZE, np.int64)
    ids[:8], ids[8:16] = 70_000, 3
    save(root / 'val2017/a.jpg', image())
    save(
        root / 'panoptic_val2017/a.png',
        np.stack([ids >> s & 255 for s in (0, 8, 16)], -1).astype(np.uint8),
    )
    content = {
        'images': [{'id': 9, 'file_name': 'a.jpg', 'height': SIZE[0], 'width': SIZE[1]}],
        'annotations': [
            {
                'image_id': 9,
                'file_name': 'a.png',
                'segments_info': [{'id': 70_000, 'category_id': 5}, {'id': 3, 'category_id': 1}],
            }
        ],
        'categories': [{'id': 1, 'name': 'person'}, {'id': 5, 'name': 'sky', 'isthing': 0}],
    }
    write_json(root / 'panoptic_val2017.json', content)
    return root


def test_coco_panoptic_segments_become_classes(tmp_path: Path) -> None:
    raw = make_panoptic(tmp_path / 'raw')
    report = run('coco_panoptic', raw)
    assert report.samples == {'val': 1} and report.summary['classes'] == ['person', 'sky']
    rows = label_of(tmp_path / 'dst', 'a', 'val')[:, 0]
    assert rows.tolist() == [1] * 8 + [0] * 8 + [255] * 8
    save(raw / 'panoptic_val2017/a.png', np.full((*SIZE, 3), 9, np.uint8))
    with pytest.raises(DataError, match=r'a\.png has segment 592137'):
        convert('coco_panoptic', raw, tmp_path / 'other', settings=QUIET)
