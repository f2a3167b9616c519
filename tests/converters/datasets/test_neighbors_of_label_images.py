"""Label images and lists like those that users brought, a little different.

Every case is a small source; what its labels must hold is said as pixels per class.
"""

import numpy as np
import pytest
from neighbor_sources import (
    COLORS,
    MAP,
    MASK,
    ROWS,
    TABLE,
    THREE,
    Case,
    each,
    image,
    lists,
    opaque,
    pair,
    save,
    text,
    try_case,
    with_table,
)
from PIL import Image

CASES: dict[str, Case] = {
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
}


@pytest.mark.parametrize('name', CASES)
def test_neighbor_of_a_known_input_is_converted_right_or_refused_in_words(name, tmp_path, capsys):
    try_case(CASES[name], tmp_path, capsys)
