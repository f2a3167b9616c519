"""Small sources of user data for the converters; labels hold class 1 and 2 on known pixels."""

import base64
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

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


Case = tuple[Any, ...]
"""Converter, source, options, then: pixels of every label but those of class 0, or words of the
sentence that refuses; words of a notice may follow."""


def try_case(case: Case, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Converts, and asserts what the case says."""
    converter, make, options, expected, *notices = case
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
