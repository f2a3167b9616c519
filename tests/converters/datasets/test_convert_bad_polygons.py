"""Bad polygons of users: the message names the file and the shape."""

from pathlib import Path

import numpy as np
import pytest
from in_one_test import in_one_test
from PIL import Image
from tiny_sets import SIZE, image, make_labelme, save, shape, write_json

from openseg_plugin.converters.datasets import Settings, convert
from openseg_plugin.errors import DataError

SQUARE = [[2, 2], [9, 2], [9, 9]]


SHAPES = {
    'two points': (shape('wire', [[1, 1], [5, 5]]), 'has a polygon of 2 points: three are needed'),
    'outside': (shape('wire', [[90, 90], [99, 90], [99, 99]]), 'outside the image of 32x24'),
    'unknown name': (shape('wires', SQUARE), 'classes are _background_, wire, mast'),
    'not numbers': (shape('wire', [['a', 1], [2, 2], [3, 3]]), "the coordinate 'a', which is no"),
    'number as text': (shape('wire', [['5', 1], [2, 2], [3, 3]]), "coordinate '5', which is no"),
    'nan': (shape('wire', [[1, float('nan')], [2, 2], [3, 3]]), 'polygon with the coordinate nan'),
    'mask without image': (shape('wire', [[1, 1], [4, 4]], 'mask'), 'PNG in base64'),
    'one corner': (shape('wire', [[1, 1]], 'rectangle'), 'rectangle of 1 points: 2 are needed'),
    'unknown shape': (shape('wire', SQUARE, 'spline'), "shape type 'spline'"),
}


@in_one_test('bad, text', SHAPES.values(), ids=SHAPES)
def test_convert_labelme_with_bad_shape_names_file_and_shape(
    tmp_path: Path, bad: dict, text: str
) -> None:
    make_labelme(tmp_path / 'raw', [shape('mast', SQUARE), bad])
    with pytest.raises(DataError, match=text) as caught:
        convert('labelme', tmp_path / 'raw', tmp_path / 'dst', settings=Settings(workers=1))
    assert f'{tmp_path / "raw" / "a.json"}: shape 1' in str(caught.value)


def _coco(segmentation: object, **more) -> dict:
    return {
        'images': [{'id': 1, 'file_name': 'a.png', 'height': SIZE[0], 'width': SIZE[1]}],
        'categories': [{'id': 7, 'name': 'wire'}],
        'annotations': [
            {'id': 5, 'image_id': 1, 'category_id': 7, 'segmentation': segmentation, **more}
        ],
    }


COCO = {
    'two points': (_coco([[1, 1, 5, 5]]), 'annotation 5 has a polygon of 2 points'),
    'odd': (_coco([[1, 1, 5, 5, 3, 9, 4]]), 'no list of x and y in turn'),
    'not a number': (_coco([[1, 1, 5, float('nan'), 3, 9]]), 'with the coordinate nan'),
    'words': (_coco([['a', 1, 5, 5, 3, 9]]), 'no list of numbers'),
    'outside': (_coco([[50, 1, 60, 1, 60, 9]]), 'annotation 5 has a polygon outside'),
    'runs of another size': (_coco({'size': [3, 3], 'counts': [9]}), 'for 3x3 pixels, not 32x24'),
    'runs too short': (_coco({'size': list(SIZE), 'counts': [9]}), 'cover 9 of 768 pixels'),
    'unknown category': (_coco([[1, 1, 5, 5, 3, 9]], category_id=8), 'category 8, which is not'),
    'unknown image': (_coco([[1, 1, 5, 5, 3, 9]], image_id=2), 'image 2, which it does not'),
}


@in_one_test('content, text', COCO.values(), ids=COCO)
def test_convert_coco_with_bad_annotation_names_file_and_annotation(
    tmp_path: Path, content: dict, text: str
) -> None:
    save(tmp_path / 'raw/a.png', image())
    path = write_json(tmp_path / 'raw/all.json', content)
    with pytest.raises(DataError, match=text) as caught:
        convert('coco_polygons', tmp_path / 'raw', tmp_path / 'dst', settings=Settings(workers=1))
    assert str(path) in str(caught.value)


@pytest.mark.parametrize('content', ['[1, 2', '[]', '{"images": []}', '\x00\x01'])
def test_convert_coco_with_wrong_json_names_file(tmp_path: Path, content: str) -> None:
    save(tmp_path / 'raw/a.png', image())
    (tmp_path / 'raw/all.json').write_text(content)
    with pytest.raises(DataError, match=str(tmp_path / 'raw/all.json')):
        convert('coco_polygons', tmp_path / 'raw', tmp_path / 'dst')


@pytest.mark.parametrize('crowd, expected', [('class', [1, 2, 2, 0]), ('ignore', [1, 1, 255, 0])])
def test_convert_coco_crowd_ignored_only_where_nothing_else_is(
    tmp_path: Path, crowd: str, expected: list[int]
) -> None:
    """Columns 0-7 are class 1, columns 4-11 a crowd of class 2, drawn later."""
    height, width = SIZE
    content = _coco([[0, 0, 8, 0, 8, height, 0, height]])
    content['categories'].append({'id': 9, 'name': 'mast'})
    runs = [4 * height, 8 * height, (width - 12) * height]
    many = {'size': list(SIZE), 'counts': runs}
    content['annotations'].append(
        {'id': 6, 'image_id': 1, 'category_id': 9, 'segmentation': many, 'iscrowd': 1}
    )
    save(tmp_path / 'raw/a.png', image())
    write_json(tmp_path / 'raw/all.json', content)
    convert(
        'coco_polygons',
        tmp_path / 'raw',
        tmp_path / 'dst',
        {'crowd': crowd},
        settings=Settings(show_progress=False),
    )
    with Image.open(tmp_path / 'dst/train/label/a.png') as label:
        assert np.asarray(label)[5, [2, 6, 10, 14]].tolist() == expected
