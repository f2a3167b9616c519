"""Good content of every kind that is read, and what makes it bad."""

import copy
import io
import json
import os
import random
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

SIZE = (24, 32)


class Marks:
    """A pickle of this makes a folder when it is loaded by the ordinary rules."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple:
        return os.mkdir, (str(self.marker),)


# what makes good content bad


def damaged(content: bytes, chance: random.Random) -> bytes:
    """Cut off, with other bytes, without a part, with a part twice, or wholly something else."""
    raw = bytearray(content)
    way = chance.randrange(7)
    start = chance.randrange(max(1, len(raw)))
    end = min(len(raw), start + chance.choice((1, 4, 64, 1024)))
    if way == 0:
        del raw[start:]
    elif way == 1:
        for _ in range(chance.choice((1, 5, 50))):
            raw[chance.randrange(len(raw))] = chance.randrange(256)
    elif way == 2:
        raw[start:end] = bytes(end - start)
    elif way == 3:
        del raw[start:end]
    elif way == 4:
        raw[start:start] = raw[start:end] * 3
    elif way == 5:
        raw[start:end] = b'\xff' * (end - start)
    else:
        return chance.choice((b'', b'\0' * 99, b'<!DOCTYPE html><html>404</html>', b'PK\3\4', b'{'))
    return bytes(raw)


WRONG: tuple[Any, ...] = (
    *(
        None,
        True,
        -1,
        0,
        1.5,
        1e308,
        float('nan'),
        float('inf'),
        -(2**70),
        '',
        'x',
        '\ud800',
        '../x',
    ),
    *([], {}, [[]], [None], {'a': {}}, [1, 'b', None], 'a' * 5000, '\0', 2**31, [[[[1]]]]),
)


def changed(content: Any, chance: random.Random) -> Any:
    """A copy with one to three entries, wherever they are, of another type, gone or twice."""
    content = copy.deepcopy(content)
    for _ in range(chance.randint(1, 3)):
        places = list(entries_of(content))
        if not places:
            break
        holder, key = chance.choice(places)
        way = chance.randrange(4)
        if way == 0 and isinstance(holder, dict):
            del holder[key]
        elif way == 1 and isinstance(holder, list):
            holder.append(holder[key])
        else:
            holder[key] = copy.deepcopy(chance.choice(WRONG))
    return content


def entries_of(content: Any) -> list[tuple[Any, Any]]:
    keys = content if isinstance(content, dict) else range(len(content))
    found = []
    for key in keys:
        found.append((content, key))
        if isinstance(content[key], (dict, list)):
            found += entries_of(content[key])
    return found


# good content


def label_map(chance: random.Random) -> np.ndarray:
    label = np.zeros(SIZE, np.uint8)
    top, left = chance.randrange(12), chance.randrange(16)
    label[top : top + 10, left : left + 12] = 1
    return label


def encoded(pixels: np.ndarray, kind: str) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind)
    return buffer.getvalue()


def photo() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (*SIZE, 3), dtype=np.uint8)


def write(path: Path, content: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def as_json(content: Any) -> bytes:
    return json.dumps(content).encode('utf-8', 'surrogatepass')


SQUARE = [[4, 4], [20, 4], [20, 14], [4, 14]]
FLAT = [4, 4, 20, 4, 20, 14, 4, 14]
LABELME = dict(
    version='5',
    shapes=[dict(label='car', points=SQUARE, shape_type='polygon')] * 2
    + [dict(label='bus', points=SQUARE[:2], shape_type='rectangle')],
    imagePath='a.png',
    imageData=None,
    imageHeight=SIZE[0],
    imageWidth=SIZE[1],
)
COCO = dict(
    images=[dict(id=1, file_name='a.png', height=SIZE[0], width=SIZE[1])],
    annotations=[
        dict(id=1, image_id=1, category_id=1, segmentation=[FLAT], iscrowd=0),
        dict(
            id=2,
            image_id=1,
            category_id=2,
            segmentation=dict(size=list(SIZE), counts=[10, 20, SIZE[0] * SIZE[1] - 30]),
            iscrowd=1,
        ),
    ],
    categories=[dict(id=1, name='car'), dict(id=2, name='bus')],
)
VIA = {
    'a.png9': dict(
        filename='a.png',
        size=9,
        regions=[
            dict(
                shape_attributes=dict(
                    name='polygon', all_points_x=[4, 20, 20], all_points_y=[4, 4, 14]
                ),
                region_attributes=dict(name='car'),
            )
        ],
    )
}
STUDIO = [
    dict(
        id=1,
        data=dict(image='/data/upload/1/ab-a.png'),
        annotations=[
            dict(
                result=[
                    dict(
                        type='polygonlabels',
                        original_height=SIZE[0],
                        original_width=SIZE[1],
                        value=dict(points=[[10, 10], [60, 10], [60, 60]], polygonlabels=['car']),
                    )
                ]
            )
        ],
    )
]
CVAT = (
    '<?xml version="1.0"?><annotations><version>1.1</version><image id="0" name="a.png" width="32" '
    'height="24"><polygon label="car" points="4,4;20,4;20,14" z_order="0"/><mask label="bus" '
    'rle="1,2" left="1" top="1" width="3" height="1" z_order="1"/></image></annotations>'
)
