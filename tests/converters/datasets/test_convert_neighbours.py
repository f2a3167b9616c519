"""Inputs like those that users brought, a little different: converted right, or refused in words.

Every case is a small source; what its labels must hold is said as pixels per class.
"""

import base64
import io
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from openseg_plugin.cli.convert_dataset import main
from openseg_plugin.cli.main import run

SIZE = (48, 64)
SQUARE = [10, 10, 40, 10, 40, 30, 10, 30]
MAP = np.zeros(SIZE, np.uint8)
MAP[10:30, 10:40], MAP[30:40, 10:50] = 1, 2
MASK = np.zeros(SIZE, np.uint8)
MASK[10:35, 10:50] = 255
COLORS = np.zeros((256, 3), np.uint8)
COLORS[1:3] = (128, 64, 128), (0, 128, 0)
COCO = '_annotations.coco.json'


def image(path: Path) -> None:
    save(path, np.full((*SIZE, 3), 90, np.uint8))


def save(path: Path, pixels: np.ndarray, **options: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, **options)


def text(path: Path, content: str, encoding: str = 'utf-8') -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode(encoding))


def pair(src: Path, name: str = 'a', label: np.ndarray = MAP, *, to: str = 'images/masks') -> None:
    images, _, labels = to.partition('/')
    image(src / images / f'{name}.jpg')
    save(src / labels / f'{name}.png', label)


def labelme(path: Path, *shapes: tuple, encoding: str = 'utf-8', **more: object) -> None:
    written = [dict(label=label, points=points, shape_type=kind) for label, points, kind in shapes]
    content = dict(shapes=written, imagePath=f'{path.stem}.jpg', imageHeight=48, imageWidth=64)
    text(path, json.dumps({**content, **more}, ensure_ascii=False), encoding)


def coco(src: Path, *annotations: dict, names: tuple = ('car', 'bus'), **first: object) -> None:
    content = {
        'images': [dict(id=1, file_name='a.jpg', height=48, width=64) | first],
        'annotations': [
            dict(id=k, image_id=1, category_id=1, bbox=[0, 0, 1, 1]) | a
            for k, a in enumerate(annotations)
        ],
        'categories': [dict(id=k + 1, name=name) for k, name in enumerate(names)],
    }
    image(src / 'a.jpg')
    text(src / COCO, json.dumps(content))


def lists(content: str, name: str = 'train.txt', encoding: str = 'utf-8', file: str = 'a'):
    def make(src: Path) -> None:
        pair(src, file, to='img/lab')
        text(src / name, content, encoding)

    return make


def yolo(names: str, line: str = '0 0.1 0.1 0.5 0.1 0.5 0.5') -> Callable[[Path], None]:
    def make(src: Path) -> None:
        image(src / 'train/images/a.jpg')
        text(src / 'train/labels/a.txt', line)
        text(src / 'data.yaml', f'train: train/images\n{names}\n')

    return make


def studio(address: str, file: str, labels: list[str], **more: object) -> Callable[[Path], None]:
    value = dict(points=[[10, 10], [60, 10], [60, 60]], polygonlabels=labels)
    result = dict(type='polygonlabels', value=value, original_width=64, original_height=48) | more
    tasks = [dict(id=1, data=dict(image=address), annotations=[dict(result=[result])])]

    def make(src: Path) -> None:
        image(src / file)
        text(src / 'export.json', json.dumps(tasks))

    return make


def with_table(content: str, name: str, encoding: str = 'utf-8') -> Callable[[Path], None]:
    def make(src: Path) -> None:
        pair(src, label=COLORS[MAP])
        text(src / name, content, encoding)

    return make


def embedded(form: str, encode: Callable[[bytes], bytes] = base64.b64encode):
    def make(src: Path) -> None:
        stream = io.BytesIO()
        Image.fromarray(np.full((*SIZE, 3), 90, np.uint8)).save(stream, 'PNG')
        data = form.format(encode(stream.getvalue()).decode())
        labelme(src / 'a.json', CAR, imageData=data)

    return make


def each(*makers: Callable[[Path], None]) -> Callable[[Path], None]:
    return lambda src: [make(src) for make in makers] and None


def opaque(values: np.ndarray | int) -> np.ndarray:
    found = np.full((*SIZE, 4), 255, np.uint8)
    found[..., 3] = values
    return found


def job(src: Path, name: str, folder: str) -> None:
    polygon = '<polygon label="car" points="10,10;40,10;40,30;10,30"/>'
    entry = f'<image id="0" name="a.jpg" width="64" height="48">{polygon}</image>'
    text(src / name / 'annotations.xml', f'<annotations>{entry}</annotations>')
    image(src / name / folder / 'a.jpg')


def by_year(src: Path) -> None:
    for split in ('train2017', 'val2017'):
        coco(src, dict(segmentation=[SQUARE]))
        (src / COCO).rename(src / f'instances_{split}.json')
        image(src / split / 'a.jpg')
    (src / 'a.jpg').unlink()


CORNERS = [[10, 10], [40, 10], [40, 30], [10, 30]]
CAR = ('car', CORNERS, 'polygon')
SKIP = ('--skip-bad-shapes',)
TABLE = ('--colors', 'SRC/t.csv')
DRAWN = {1: 651}
TICKED = dict(
    shape_attributes=dict(name='rect', x=1, y=1, width=9, height=9),
    region_attributes=dict(kind=dict(car=True, bus=True)),
)
THREE = {1: 600, 2: 400}
ROWS = 'bg{0}0{0}0{0}0\nroad{0}128{0}64{0}128\nsky{0}0{0}128{0}0\n'
# name -> converter, source, options, then: pixels of every label but those of class 0, or words of
# the sentence that refuses; words of a notice may follow
CASES: dict[str, tuple] = {
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
    'lists semicolons': ('lists', lists('img/a.jpg;lab/a.png'), (), [THREE]),
    'lists quotes': (
        'lists',
        lists('"img/my a.jpg" "lab/my a.png"', file='my a'),
        (),
        [THREE],
    ),
    'lists with header': (
        'lists',
        lists('image,label\nimg/a.jpg,lab/a.png', 'train.csv'),
        (),
        [THREE],
    ),
    'lists comments': ('lists', lists('# mine\nimg/a.jpg lab/a.png'), (), [THREE]),
    'lists of Windows': (
        'lists',
        lists('C:\\d\\img\\a.jpg\tC:\\d\\lab\\a.png', encoding='utf-16'),
        (),
        [THREE],
    ),
    'lists twice': ('lists', lists('img/a.jpg lab/a.png\n' * 2), (), [THREE], 'twice'),
    'lists without labels': ('lists', lists('img/a.jpg'), (), [], 'no labels'),
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
    'masks opacity in some': (
        'masks',
        each(
            lambda s: pair(s, 'a', opaque(MASK)),
            lambda s: pair(s, 'b', np.dstack([MASK] * 3)),
        ),
        (),
        'mask in the opacity',
    ),
    'masks opacity, one full, one empty': (
        'masks',
        each(
            lambda s: pair(s, 'a', opaque(MASK)),
            lambda s: pair(s, 'b', opaque(255)),
            lambda s: pair(s, 'c', opaque(0)),
        ),
        (),
        [{1: 1000}, {1: 3072}, {}],
    ),
    'masks 0 and 1, one 0 and 255': (
        'masks',
        each(lambda s: pair(s, 'a', MASK // 255), lambda s: pair(s, 'b', MASK)),
        (),
        [{1: 1000}, {255: 1000}],
        'write it as 1',
    ),
    'masks years': (
        'masks',
        each(
            *(lambda s, x=x: pair(s, f'{x}2017/{x}') for x in ('train', 'val')),
        ),
        (),
        [THREE, THREE],
        '1 train, 1 val',
    ),
    'masks ids with gaps': (
        'masks',
        with_table('id,r,g,b,name\n0,0,0,0,bg\n5,128,64,128,road\n7,0,128,0,sky\n', 't.csv'),
        TABLE,
        [THREE],
        'numbered in their order',
    ),
    'masks table of semicolons': ('masks', with_table(ROWS.format(';'), 't.csv'), TABLE, [THREE]),
    'masks table in UTF-16': (
        'masks',
        with_table('name\tr\tg\tb\n' + ROWS.format('\t'), 't.csv', 'utf-16'),
        TABLE,
        [THREE],
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
    'masks lossy webp': (
        'masks',
        each(
            lambda s: image(s / 'images/a.jpg'),
            lambda s: save(s / 'masks/a.webp', np.dstack([MAP * 90] * 3), quality=60),
        ),
        (),
        'a.webp is a lossy WebP, which changes class numbers',
    ),
    'masks lossy webp of black and white': (
        'masks',
        each(
            lambda s: image(s / 'images/a.jpg'),
            lambda s: save(s / 'masks/a.webp', np.dstack([MASK] * 3), quality=60),
        ),
        ('--kind', 'binary', '--threshold', '128'),
        [{1: 1000}],
    ),
    'masks webp without loss': (
        'masks',
        each(
            lambda s: image(s / 'images/a.jpg'),
            lambda s: save(s / 'masks/a.webp', np.dstack([MAP] * 3), lossless=True),
        ),
        (),
        [THREE],
    ),
    'masks jpeg numbers': (
        'masks',
        each(
            lambda s: image(s / 'images/a.jpg'),
            lambda s: save(s / 'masks/a.jpg', MAP, quality=95),
        ),
        ('--kind', 'numbers', '--num-classes', '3'),
        'a.jpg is a JPEG, which changes class numbers',
    ),
    'masks pages': (
        'masks',
        each(
            lambda s: image(s / 'images/a.jpg'),
            lambda s: save(
                s / 'masks/a.tif', MAP, save_all=True, append_images=[Image.fromarray(MAP)]
            ),
        ),
        (),
        'a.tif holds 2 pages',
    ),
    'masks smaller copies': (
        'masks',
        each(
            lambda s: image(s / 'images/a.jpg'),
            lambda s: save(
                s / 'masks/a.tif',
                MAP,
                save_all=True,
                append_images=[Image.fromarray(MAP[::2, ::2])],
            ),
        ),
        (),
        [THREE],
    ),
    'masks accents of macOS': (
        'masks',
        each(
            lambda s: image(s / 'images/cafe\u0301.jpg'),
            lambda s: save(s / 'masks/caf\u00e9.png', MAP),
        ),
        (),
        [THREE],
    ),
    'masks folders with words': (
        'masks',
        each(*(lambda s, x=x: pair(s, f'{x}/{x}') for x in ('train_set', 'val_set'))),
        (),
        [THREE, THREE],
        '1 train, 1 val',
    ),
    'masks colors without table': (
        'masks',
        lambda s: pair(s, label=COLORS[MAP]),
        (),
        'the labels hold 0 0 0, 128 64 128, 0 128 0',
    ),
    'masks lists': (
        'masks',
        each(
            *(lambda s, x=x: pair(s, x, to='JPEGImages/SegmentationClass') for x in 'ab'),
            lambda s: text(s / 'ImageSets/Segmentation/train.txt', 'a\ngone\n'),
            lambda s: text(s / 'ImageSets/Segmentation/val.txt', 'a\nb\n'),
        ),
        (),
        [THREE, THREE],
        '1 names of lists have no image, first gone of',
        '1 images are in lists of several splits and are taken into one, first a: train and val',
    ),
    'masks colors in one column': (
        'masks',
        with_table('name,color\nbg,"0,0,0"\n"road, wet","(128, 64, 128)"\nsky,#008000\n', 't.csv'),
        TABLE,
        [THREE],
    ),
    'masks table of an annotation program': (
        'masks',
        with_table(
            '{"classes": [{"title": "bg", "color": "#000000"}, {"title": "road", "color": '
            '"#804080"}, {"name": "sky", "r": 0, "g": 128.0, "b": 0}]}',
            't.json',
        ),
        ('--colors', 'SRC/t.json'),
        [THREE],
    ),
    'masks table without a color': (
        'masks',
        with_table('[{"name": "bg", "color": "#000000"}, {"name": "road"}]', 't.json'),
        ('--colors', 'SRC/t.json'),
        'has no name and color',
    ),
    'lists accents of macOS': (
        'lists',
        each(
            lambda s: pair(s, 'cafe\u0301', to='img/lab'),
            lambda s: text(s / 'train.lst', 'img/caf\u00e9.jpg lab/caf\u00e9.png'),
        ),
        (),
        [THREE],
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
    'masks beside a description': (
        'masks',
        each(
            lambda s: pair(s / 'set', to='img/masks_machine'),
            lambda s: text(s / 'meta.json', '{}'),
        ),
        (),
        [THREE],
        '1 file in SRC was not used (1 .json)',
    ),
    'cityscapes in a folder of no split': (
        'cityscapes',
        each(
            *(
                lambda s, x=x: (
                    image(s / f'leftImg8bit/{x}/c/c_000000_000019_leftImg8bit.png'),
                    save(s / f'gtFine/{x}/c/c_000000_000019_gtFine_labelTrainIds.png', MAP),
                )
                for x in ('train', 'val', 'vall')
            ),
        ),
        (),
        [THREE, THREE],
        '2 files in SRC were not used (2 .png)',
    ),
    'via csv': ('via', lambda s: text(s / 'v.csv', '#filename'), (), 'as JSON, not as CSV'),
}


@pytest.mark.parametrize('name', CASES)
def test_neighbour_of_a_known_input_is_converted_right_or_refused_in_words(name, tmp_path, capsys):
    converter, make, options, expected, *notices = CASES[name]
    src, dst = tmp_path / 'src', tmp_path / 'dst'
    make(src)
    words = [option.replace('SRC', str(src)) for option in options]
    status = run(main, [converter, str(src), str(dst), '--workers', '1', *words])
    said = ''.join(capsys.readouterr())
    assert all(notice in said for notice in notices), said
    if isinstance(expected, str):
        assert status == 2 and expected in said, said
        assert not list(dst.rglob('label/**/*.png'))
        return
    assert status == 0, said
    found = [np.asarray(Image.open(path)) for path in sorted(dst.rglob('label/**/*.png'))]
    pixels = [dict(zip(*map(np.ndarray.tolist, np.unique(x, return_counts=True)))) for x in found]
    assert [{k: n for k, n in each.items() if k} for each in pixels] == expected
