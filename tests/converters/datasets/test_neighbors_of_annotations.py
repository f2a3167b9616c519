"""Annotation files like those that users brought, a little different.

Every case is a small source; what its labels must hold is said as pixels per class.
"""

import base64
import json

import pytest
from neighbor_sources import (
    CAR,
    COCO,
    CORNERS,
    DRAWN,
    SKIP,
    SQUARE,
    TICKED,
    Case,
    by_year,
    coco,
    each,
    embedded,
    image,
    job,
    labelme,
    studio,
    text,
    try_case,
    yolo,
)

CASES: dict[str, Case] = {
    'labelme latin': (
        'labelme',
        lambda s: labelme(s / 'a.json', ('Straße', CORNERS, 'polygon'), encoding='latin-1'),
        (),
        'CP1252',
    ),
    'labelme sizes as text': (
        'labelme',
        each(
            lambda s: image(s / 'a.jpg'),
            lambda s: labelme(s / 'a.json', CAR, imageHeight='48', imageWidth=64.0),
        ),
        (),
        [DRAWN],
    ),
    'labelme accents': (
        'labelme',
        each(
            lambda s: image(s / 'a.jpg'),
            lambda s: labelme(
                s / 'a.json', ('é', CORNERS, 'polygon'), ('e\u0301', CORNERS, 'polygon')
            ),
        ),
        (),
        [DRAWN],
        '--merge-names',
    ),
    'labelme broken image inside': (
        'labelme',
        lambda s: labelme(s / 'a.json', CAR, imageData='abc!!'),
        (),
        'imageData is no image',
    ),
    'coco years': ('coco_polygons', by_year, (), [{1: 600}, {1: 600}]),
    'coco address': (
        'coco_polygons',
        lambda s: coco(s, dict(segmentation=[SQUARE]), file_name='https://h/x/a%2Ejpg?t=1'),
        (),
        [{1: 600}],
    ),
    'coco null': (
        'coco_polygons',
        lambda s: coco(s, dict(segmentation=None), dict(segmentation=[SQUARE])),
        SKIP,
        [{1: 600}],
        'annotation 0 has no polygon',
    ),
    'coco unknown category': (
        'coco_polygons',
        lambda s: coco(s, dict(segmentation=[SQUARE]), dict(segmentation=[SQUARE], category_id=9)),
        SKIP,
        [{1: 600}],
        'category 9',
    ),
    'coco unknown image': (
        'coco_polygons',
        lambda s: coco(s, dict(segmentation=[SQUARE]), dict(segmentation=[SQUARE], image_id=9)),
        SKIP,
        [{1: 600}],
        'image 9',
    ),
    'coco one id twice': (
        'coco_polygons',
        each(
            lambda s: coco(s, dict(segmentation=[SQUARE])),
            lambda s: text(s / COCO, (s / COCO).read_text().replace('"id": 2', '"id": 1')),
        ),
        (),
        'car and bus have the same id',
    ),
    'coco sizes as text': (
        'coco_polygons',
        lambda s: coco(s, dict(segmentation=[SQUARE]), height='48', width=64.0),
        (),
        [{1: 600}],
    ),
    'coco run lengths below 0': (
        'coco_polygons',
        lambda s: coco(s, dict(segmentation=dict(size=[48, 64], counts=[10, -20, 3082]))),
        (),
        'no list of lengths',
    ),
    'yolo names that YAML takes for truth': (
        'yolo_seg',
        yolo('names: [no, 1]'),
        (),
        [{1: 293}],
    ),
    'yolo numbers that disagree': ('yolo_seg', yolo('nc: 3\nnames: [a, b]'), (), 'nc: 3'),
    'yolo boxes': ('yolo_seg', yolo('names: [a]', '0 0.5 0.5 0.2 0.2'), (), 'boxes, no polygons'),
    'yolo without labels': (
        'yolo_seg',
        each(yolo('names: [a]'), lambda s: (s / 'train/labels/a.txt').unlink()),
        (),
        'none of its 1 images has a label file',
    ),
    'cvat two jobs': (
        'cvat',
        each(lambda s: job(s, 'x', 'images'), lambda s: job(s, 'y', 'images')),
        (),
        [DRAWN, DRAWN],
    ),
    'label studio blanks': (
        'label_studio',
        studio('/data/upload/1/0a1b2c3d-my%20a.jpg', 'my a.jpg', ['car']),
        (),
        [{1: 425}],
    ),
    'label studio two labels': (
        'label_studio',
        studio('a.jpg', 'a.jpg', ['car', 'bus']),
        (),
        'has 2 labels (car, bus)',
    ),
    'labelme image inside, as web pages write it': (
        'labelme',
        embedded('data:image/png;base64,{}'),
        (),
        [DRAWN],
    ),
    'labelme image inside, in lines': (
        'labelme',
        embedded('{}', base64.encodebytes),
        (),
        [DRAWN],
    ),
    'labelme accents of macOS': (
        'labelme',
        each(
            lambda s: image(s / 'cafe\u0301.jpg'),
            lambda s: labelme(s / 'caf\u00e9.json', CAR),
        ),
        (),
        [DRAWN],
    ),
    'labelme folders with words': (
        'labelme',
        each(
            *(
                lambda s, x=x: (image(s / x / f'{x}.jpg'), labelme(s / x / f'{x}.json', CAR))
                for x in ('train_set', 'my-val')
            )
        ),
        (),
        [DRAWN, DRAWN],
        '1 val, 1 train',
    ),
    'coco other files': (
        'coco_polygons',
        each(
            lambda s: coco(s, dict(segmentation=[SQUARE])),
            lambda s: text(s / 'config.json', '{"a": 1}'),
        ),
        (),
        [{1: 600}],
        '1 file in SRC was not used (1 .json)',
    ),
    'coco ids as text': (
        'coco_polygons',
        lambda s: coco(s, dict(segmentation=[SQUARE], image_id='1', category_id=2.0)),
        (),
        [{2: 600}],
    ),
    'coco one file, images in folders of splits': (
        'coco_polygons',
        each(
            lambda s: coco(s, dict(segmentation=[SQUARE]), file_name='valid/a.jpg'),
            lambda s: (s / 'valid').mkdir() or (s / 'a.jpg').rename(s / 'valid/a.jpg'),
            lambda s: image(s / 'train/b.jpg'),
            lambda s: text(
                s / COCO,
                (s / COCO)
                .read_text()
                .replace(
                    '"images": [',
                    '"images": [{"id": 5, "file_name": "b.jpg", "height": 48, "width": 64}, ',
                ),
            ),
        ),
        (),
        [{}, {1: 600}],
        '1 train, 1 val',
    ),
    'yolo digits that were cut': (
        'yolo_seg',
        yolo('names: [a]', '0 0.15625 0.208333 0.625 0.208333 0.625 0.625 0.15625 0.625'),
        (),
        [DRAWN],
    ),
    'yolo folders in capitals': (
        'yolo_seg',
        each(
            lambda s: image(s / 'Images/a.JPG'),
            lambda s: text(s / 'Labels/a.txt', '0 0.1 0.1 0.5 0.1 0.5 0.5'),
            lambda s: text(s / 'data.yaml', 'train: Images\nnames: [a]\n'),
        ),
        (),
        [{1: 293}],
    ),
    'label studio storage': (
        'label_studio',
        studio(
            '/tasks/1/resolve/?fileuri=' + base64.b64encode(b's3://bucket/x/a.jpg').decode(),
            'a.jpg',
            ['car'],
        ),
        (),
        [{1: 425}],
    ),
    'label studio turned': (
        'label_studio',
        studio('a.jpg', 'a.jpg', ['car'], image_rotation=90),
        (),
        'was drawn on an image turned by 90 degrees',
    ),
    'via two check boxes': (
        'via',
        each(
            lambda s: image(s / 'a.jpg'),
            lambda s: text(
                s / 'v.json',
                json.dumps({'a': dict(filename='a.jpg', regions=[TICKED])}),
            ),
        ),
        (),
        'has several values of kind',
    ),
    'labelme ellipse': (
        'labelme',
        each(
            lambda s: image(s / 'a.jpg'),
            lambda s: labelme(s / 'a.json', ('car', CORNERS[:2], 'ellipse')),
        ),
        (),
        "shape type 'ellipse', which cannot be drawn",
    ),
    'labelme circle of no size': (
        'labelme',
        each(
            lambda s: image(s / 'a.jpg'),
            lambda s: labelme(s / 'a.json', CAR, ('car', [[5, 5], [5, 5]], 'circle')),
        ),
        SKIP,
        [DRAWN],
        'has a circle without area',
    ),
    'via csv': ('via', lambda s: text(s / 'v.csv', '#filename'), (), 'as JSON, not as CSV'),
}


@pytest.mark.parametrize('name', CASES)
def test_neighbor_of_a_known_input_is_converted_right_or_refused_in_words(name, tmp_path, capsys):
    try_case(CASES[name], tmp_path, capsys)
