"""One broken record in a file of many: it is named, and ``--keep-going`` converts the others."""

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from in_one_test import in_one_test
from tiny_sets import SIZE, image, make_cityscapes, make_labelme, numbers, save, shape, write_json

from openseg_plugin.converters.datasets import Settings, convert
from openseg_plugin.errors import DataError
from openseg_plugin.utils.files import PARTIAL

POLYGON = [[2, 2, 9, 2, 9, 9]]
GONE = object()


def coco(root: Path, bad: dict[str, Any]) -> None:
    """Three images, each with one annotation; ``bad`` changes the last of a list."""
    content = {
        'images': [
            {'id': k, 'file_name': f'{k}.png', 'height': SIZE[0], 'width': SIZE[1]}
            for k in range(3)
        ],
        'annotations': [
            {'id': 10 + k, 'image_id': k, 'category_id': 7, 'segmentation': POLYGON}
            for k in range(3)
        ],
        'categories': [{'id': 7, 'name': 'wire'}],
    }
    for key, values in bad.items():
        if not isinstance(values, dict):
            content[key][-1] = values
            continue
        changed = {**content[key][-1], **values}
        content[key][-1] = {k: v for k, v in changed.items() if v is not GONE}
    for k in range(3):
        save(root / f'{k}.png', image(k))
    write_json(root / 'mine.json', content)


# changes, what the message says after the file's name, samples that are left
COCO = {
    'no image_id': ({'annotations': {'image_id': GONE}}, ': annotation 12 has no image_id', 3),
    'odd image_id': ({'annotations': {'image_id': [2]}}, r': annotation 12 has image_id \[2\]', 3),
    'no category': ({'annotations': {'category_id': GONE}}, ': annotation 12 has no category', 2),
    'odd category': ({'annotations': {'category_id': {}}}, ': annotation 12 has category_id', 2),
    'no shape': ({'annotations': {'segmentation': GONE}}, ': annotation 12 has no segm', 2),
    'null shape': ({'annotations': {'segmentation': None}}, ': annotation 12 has no polygon', 2),
    'no polygon': ({'annotations': {'segmentation': []}}, ': annotation 12 has no polygon', 2),
    'empty polygon': ({'annotations': {'segmentation': [[]]}}, ': annotation 12 .* 0 points', 2),
    'flat polygon': ({'annotations': {'segmentation': [1, 2]}}, ': annotation 12 .* no list', 2),
    'objects': ({'annotations': {'segmentation': [{}]}}, ': annotation 12 .* no list', 2),
    'runs of another size': (
        {'annotations': {'segmentation': {'size': [3, 3], 'counts': [9]}}},
        ': annotation 12 is for 3x3 pixels, not 32x24',
        2,
    ),
    'runs of one side': (
        {'annotations': {'segmentation': {'size': [3], 'counts': [3]}}},
        r': annotation 12 has the size \[3\]',
        2,
    ),
    'runs of a number': (
        {'annotations': {'segmentation': {'size': list(SIZE), 'counts': 5}}},
        ': annotation 12 has damaged run lengths',
        2,
    ),
    'no object': ({'annotations': 'x'}, ": annotation number 2 of its list is 'x'", 3),
    'image without name': ({'images': {'file_name': GONE}}, ': image 2 has no file_name', 2),
    'image without size': (
        {'images': {'height': GONE, 'width': GONE}},
        ': image 2 has no height, width',
        2,
    ),
    'image without id': ({'images': {'id': GONE}}, ': image number 2 .* has no id', 2),
    'image twice': ({'images': {'id': 1}}, ': image 1 is listed twice', 1),
    'image is null': ({'images': None}, ': image number 2 of its list is None', 2),
    'height is text': ({'images': {'height': [1]}}, r': image 2 has height \[1\]', 2),
    'huge image': ({'images': {'height': 10**9, 'width': 10**9}}, '2.png', 2),
}


def labelme(root: Path, bad: Any) -> None:
    for name in '012':
        make_labelme(root, [shape('wire', [[2, 2], [9, 2], [9, 9]])], name)
    write_json(root / '2.json', bad)


LABELME = {
    'list': ([1], 'holds a list'),
    'shapes is text': ({'shapes': 'x'}, 'its shapes are no list'),
    'no label': ({'shapes': [{'points': [[1, 2]]}]}, 'shape 0 has no label'),
    'odd label': ({'shapes': [{'label': ['a'], 'points': []}]}, 'shape 0 has no label'),
    'no points': ({'shapes': [{'label': 'wire'}]}, r'shape 0 \(wire\) has no points'),
    'odd points': ({'shapes': [shape('wire', [3, 4, 5])]}, r'shape 0 \(wire\) has no points'),
    'three numbers': ({'shapes': [shape('wire', [[1, 2, 3]] * 3)]}, 'has no points'),
    'empty polygon': ({'shapes': [shape('wire', [])]}, 'a polygon of 0 points'),
    'odd size': ({'shapes': [], 'imageHeight': 'a', 'imageWidth': 1}, 'was drawn on'),
}
ITEM = {'uris': ['a/0.png'], 'results': {'polys': [{'poly': [[0, 0], [1, 0], [1, 1]]}]}}
ITEMS = {
    'no object': (3, ': item 2 has no "uris"'),
    'no name': ({**ITEM, 'uris': []}, ': item 2 has no "uris"'),
    'results is a list': ({**ITEM, 'results': [1]}, ': item 2 has no "uris"'),
    'polys is a number': ({**ITEM, 'results': {'polys': 3}}, ': item 2 has no "uris"'),
    'no such image': ({**ITEM, 'uris': ['a/9.png']}, ': image a/9.png is missing'),
    'not a number': ({**ITEM, 'results': {'polys': [{'poly': [['x', 1]] * 3}]}}, 'without points'),
    'nan': (
        {**ITEM, 'results': {'polys': [{'poly': [[float('nan'), 1]] * 3}]}},
        'coordinate that is no number',
    ),
}


def polygon_list(root: Path, bad: Any) -> None:
    items = [{**ITEM, 'uris': [f'a/{k}.png']} for k in range(2)] + [bad]
    for k in range(3):
        save(root / f'{k}.png', image(k))
    write_json(root / 'all.json', {'items': items})


LINES = {
    'four columns': ('a b c d', 'train.lst, line 4: 4 columns'),
    'no label': ('2.png', 'train.lst, line 4: 2.png has no label, other lines have one'),
    'no such image': ('9.png 9_label.png', 'train.lst, line 4: .*9.png is missing'),
    'no such label': ('2.png 9_label.png', 'train.lst, line 4: .*9_label.png is missing'),
}


def lists(root: Path, bad: str) -> None:
    for k in range(3):
        save(root / f'{k}.png', image(k))
        save(root / f'{k}_label.png', numbers(3, k))
    (root / 'train.lst').write_text(f'0.png 0_label.png\n\n1.png 1_label.png\n{bad}\n')


def polygons(root: Path, bad: Any) -> None:
    """Three images of Cityscapes, drawn from polygons."""
    make_cityscapes(root)
    for path in root.rglob('*labelIds.png'):
        path.unlink()
    for path in root.rglob('bochum_000001*'):
        path.unlink()
    content = {'imgHeight': SIZE[0], 'imgWidth': SIZE[1], 'objects': bad}
    write_json(next(root.rglob('bochum_000000*polygons.json')), content)


OBJECTS = {
    'number': ([3], 'object 0 has no label'),
    'odd label': ([{'label': [1], 'polygon': []}], 'object 0 has no label'),
    'odd points': ([{'label': 'car', 'polygon': [['a', 'b']]}], 'object 0 has no label'),
    'nan': ([{'label': 'car', 'polygon': [[float('nan'), 1]] * 3}], 'coordinate that is no number'),
    'no list': ({}, 'not a Cityscapes polygon file'),
}


def cases(converter: str, make: Callable[[Path, Any], None], table: dict) -> list:
    return [
        pytest.param(converter, partial(make, bad=bad), text, *left or [2], id=f'{converter}: {k}')
        for k, (bad, text, *left) in table.items()
    ]


CASES = [
    *cases('coco_polygons', coco, COCO),
    *cases('labelme', labelme, LABELME),
    *cases('polygon_list', polygon_list, ITEMS),
    *cases('lists', lists, LINES),
    *cases('cityscapes', polygons, OBJECTS),
]


@in_one_test('converter, make, text, left', CASES)
def test_broken_record_is_named_and_the_others_are_converted(
    converter: str, make: Callable[[Path], None], text: str, left: int, tmp_path: Path
) -> None:
    raw, dst = tmp_path / 'raw', tmp_path / 'dst'
    make(raw)
    splits = ('train',) if converter == 'cityscapes' else ()
    with pytest.raises(DataError, match=text) as caught:
        convert(converter, raw, dst, settings=Settings(splits=splits, show_progress=False))
    assert str(raw) in str(caught.value) and '--keep-going converts' in str(caught.value)
    settings = Settings(splits=splits, keep_going=True, show_progress=False)
    report = convert(converter, raw, dst, settings=settings)
    assert report.made + report.kept == left and report.failures
    for kind in ('image', 'label'):
        assert len(list(dst.glob(f'*/{kind}/*.png'))) == left
    assert not (dst / PARTIAL).exists()
    stored = json.loads((dst / 'dataset.json').read_text())['splits']
    assert any(str(raw) in text for split in stored.values() for text in split['failures'])
