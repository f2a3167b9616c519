"""Users' own labelme files: which pixels a shape covers, classes, splits, images."""

import base64
import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tiny_sets import SIZE, box, files_below, image, label_of, make_labelme, save, shape, write_json

from openseg_plugin.converters.datasets import Settings, convert
from openseg_plugin.errors import DataError

QUIET = Settings(show_progress=False)


SHAPES = {
    'polygon with outline': (
        shape('wire', [[2, 3], [6, 3], [6, 8], [2, 8]]),
        box(slice(3, 9), slice(2, 7)),
    ),
    'rectangle in any order': (
        shape('wire', [[6, 8], [2, 3]], 'rectangle'),
        box(slice(3, 9), slice(2, 7)),
    ),
    'polygon partly outside': (
        shape('mast', [[-5, -5], [3, -5], [3, 2], [-5, 2]]),
        box(slice(0, 3), slice(0, 4), 2),
    ),
    'ignored': (
        shape('__ignore__', [[0, 0], [1, 1]], 'rectangle'),
        box(slice(0, 2), slice(0, 2), 255),
    ),
}


@pytest.mark.parametrize('drawn, expected', SHAPES.values(), ids=SHAPES)
def test_convert_labelme_shape_covers_these_pixels(
    tmp_path: Path, drawn: dict, expected: np.ndarray
) -> None:
    make_labelme(tmp_path / 'raw', [drawn])
    convert('labelme', tmp_path / 'raw', tmp_path / 'dst', settings=QUIET)
    assert np.array_equal(label_of(tmp_path / 'dst', 'a'), expected)


@pytest.mark.parametrize('kind', ['line', 'linestrip'])
def test_convert_labelme_line_is_ten_pixels_wide(tmp_path: Path, kind: str) -> None:
    make_labelme(tmp_path / 'raw', [shape('wire', [[0, 12], [31, 12]], kind)])
    convert('labelme', tmp_path / 'raw', tmp_path / 'dst', settings=QUIET)
    rows = np.flatnonzero(label_of(tmp_path / 'dst', 'a').all(1))
    # which of the two middle rows the line is centered on depends on Pillow's version
    assert len(rows) == 10 and rows.mean() in (11.5, 12.5)
    assert label_of(tmp_path / 'dst', 'a').sum() == 320


def test_convert_labelme_discs_are_symmetric(tmp_path: Path) -> None:
    shapes = [shape('wire', [[10, 10], [10, 14]], 'circle'), shape('mast', [[25, 10]], 'point')]
    make_labelme(tmp_path / 'raw', shapes)
    convert('labelme', tmp_path / 'raw', tmp_path / 'dst', settings=QUIET)
    found = label_of(tmp_path / 'dst', 'a')
    assert [found[10, 6:15].tolist(), found[6:15, 10].tolist()] == [[1] * 9] * 2
    assert [found[10, 20:31].tolist(), found[5:16, 25].tolist()] == [[2] * 11] * 2
    assert (found == 1).sum() < 81 and (found == 2).sum() < 121


def test_convert_labelme_later_shape_lies_over_earlier(tmp_path: Path) -> None:
    first, second = [[0, 0], [9, 9]], [[5, 5], [12, 12]]
    make_labelme(
        tmp_path / 'raw', [shape('wire', first, 'rectangle'), shape('mast', second, 'rectangle')]
    )
    convert('labelme', tmp_path / 'raw', tmp_path / 'dst', settings=QUIET)
    expected = box(slice(0, 10), slice(0, 10))
    expected[5:13, 5:13] = 2
    assert np.array_equal(label_of(tmp_path / 'dst', 'a'), expected)


def test_convert_labelme_without_class_names_sorts_the_labels_found(tmp_path: Path) -> None:
    make_labelme(tmp_path / 'raw', [shape(n, [[0, 0], [1, 1]], 'rectangle') for n in 'ba'])
    (tmp_path / 'raw/class_names.txt').unlink()
    report = convert('labelme', tmp_path / 'raw', tmp_path / 'dst', settings=QUIET)
    assert report.summary['classes'] == ['_background_', 'a', 'b']


def test_convert_labelme_splits_by_folder_or_by_number(tmp_path: Path) -> None:
    for k in range(6):
        make_labelme(tmp_path / 'flat', [], name=f'p{k}')
        make_labelme(tmp_path / 'deep' / ('val' if k == 2 else 'train'), [], name=f'p{k}')
    options = {'val_fraction': 1 / 3}
    flat = convert('labelme', tmp_path / 'flat', tmp_path / 'a', options, settings=QUIET)
    assert flat.samples == {'train': 4, 'val': 2}
    assert files_below(tmp_path / 'a/val/label') == {'p2.png', 'p5.png'}
    deep = convert('labelme', tmp_path / 'deep', tmp_path / 'b', settings=QUIET)
    assert deep.samples == {'train': 5, 'val': 1}


def test_convert_labelme_finds_images_named_on_another_machine(tmp_path: Path) -> None:
    make_labelme(tmp_path / 'raw', [])
    content = json.loads((tmp_path / 'raw/a.json').read_text())
    content['imagePath'] = '..\\photos\\A.PNG'
    write_json(tmp_path / 'raw/a.json', content)
    convert('labelme', tmp_path / 'raw', tmp_path / 'dst', settings=QUIET)
    assert (tmp_path / 'dst/train/image/a.png').is_file()


def test_convert_labelme_drawn_on_another_size_says_so(tmp_path: Path) -> None:
    make_labelme(tmp_path / 'raw', [])
    save(tmp_path / 'raw/a.png', image(size=(32, 24)))
    with pytest.raises(DataError, match=r'a\.json .*32x24.*24'):
        convert('labelme', tmp_path / 'raw', tmp_path / 'dst', settings=QUIET)


def test_convert_labelme_image_turned_by_exif_counts_upright(tmp_path: Path) -> None:
    make_labelme(tmp_path / 'raw', [shape('wire', [[0, 0], [1, 1]], 'rectangle')])
    (tmp_path / 'raw/a.png').unlink()
    turned = Image.fromarray(image(size=(32, 24)))  # as the sensor saw it; upright: 24 x 32
    turned.getexif()[0x0112] = 6
    turned.save(tmp_path / 'raw/a.jpg', exif=turned.getexif())
    convert('labelme', tmp_path / 'raw', tmp_path / 'dst', settings=QUIET)
    assert label_of(tmp_path / 'dst', 'a').shape == (24, 32)
    content = json.loads((tmp_path / 'raw/a.json').read_text())
    write_json(tmp_path / 'raw/a.json', {**content, 'imageHeight': 32, 'imageWidth': 24})
    with pytest.raises(DataError, match='save the image upright'):
        convert('labelme', tmp_path / 'raw', tmp_path / 'other', settings=QUIET)


def test_convert_label_drawn_on_unturned_image_says_so(tmp_path: Path) -> None:
    turned = Image.fromarray(image(size=(32, 24)))
    turned.getexif()[0x0112] = 8
    (tmp_path / 'raw/images').mkdir(parents=True)
    turned.save(tmp_path / 'raw/images/a.jpg', exif=turned.getexif())
    save(tmp_path / 'raw/labels/a.png', np.zeros((32, 24), np.uint8))
    with pytest.raises(DataError, match=r'a\.jpg .*32x24 .*turned'):
        convert('masks', tmp_path / 'raw', tmp_path / 'dst', settings=QUIET)


def masked(values: np.ndarray, corner: tuple[int, int]) -> dict:
    """A shape of type mask, as labelme 5.3 and later write it."""
    buffer = io.BytesIO()
    Image.fromarray(values).save(buffer, 'PNG')
    (x, y), (height, width) = corner, values.shape
    drawn = shape('wire', [[x, y], [x + width - 1, y + height - 1]], 'mask')
    return {**drawn, 'mask': base64.b64encode(buffer.getvalue()).decode()}


@pytest.mark.parametrize('high', [1, 255])
def test_convert_labelme_mask_covers_its_pixels(tmp_path: Path, high: int) -> None:
    values = (np.indices((5, 7)).sum(0) % 3 == 0).astype(np.uint8)
    make_labelme(tmp_path / 'raw', [masked(values * np.uint8(high), (4, 9))])
    convert('labelme', tmp_path / 'raw', tmp_path / 'dst', settings=QUIET)
    expected = np.zeros(SIZE, np.uint8)
    expected[9:14, 4:11] = values
    assert np.array_equal(label_of(tmp_path / 'dst', 'a'), expected)


def test_convert_labelme_mask_of_another_size_than_its_box_says_so(tmp_path: Path) -> None:
    drawn = masked(np.ones((5, 7), np.uint8), (4, 9))
    drawn['points'][1][0] += 1
    make_labelme(tmp_path / 'raw', [drawn])
    with pytest.raises(DataError, match=r'a\.json: shape 0 .*7x5.*8x5'):
        convert('labelme', tmp_path / 'raw', tmp_path / 'dst', settings=QUIET)


def test_convert_labelme_leaves_out_json_of_other_programs(tmp_path: Path) -> None:
    make_labelme(tmp_path / 'raw/first', [])
    write_json(tmp_path / 'raw/first/dataset.json', {'name': 'mine', 'labels': {}})
    write_json(tmp_path / 'raw/list.json', [1, 2])
    report = convert('labelme', tmp_path / 'raw', tmp_path / 'dst', settings=QUIET)
    assert report.samples == {'train': 1}
    assert '2 .json files have no shapes and belong to no image' in report.notices[0]
    write_json(tmp_path / 'raw/first/a.json', {'no': 'shapes'})
    with pytest.raises(DataError, match=r'a\.json has no entry shapes'):
        convert('labelme', tmp_path / 'raw', tmp_path / 'other', settings=QUIET)


def test_convert_labelme_does_not_look_into_converted_folders(tmp_path: Path) -> None:
    make_labelme(tmp_path / 'raw', [])
    convert('labelme', tmp_path / 'raw', tmp_path / 'done', settings=QUIET)
    (tmp_path / 'done').rename(tmp_path / 'raw/done')
    report = convert('labelme', tmp_path / 'raw', tmp_path / 'dst', settings=QUIET)
    assert report.samples == {'train': 1} and report.notices == ()


def test_convert_labelme_follows_linked_folders_once(tmp_path: Path) -> None:
    make_labelme(tmp_path / 'elsewhere', [])
    (tmp_path / 'raw').mkdir()
    (tmp_path / 'raw/linked').symlink_to(tmp_path / 'elsewhere')
    (tmp_path / 'elsewhere/loop').symlink_to(tmp_path / 'raw')
    report = convert('labelme', tmp_path / 'raw', tmp_path / 'dst', settings=QUIET)
    assert report.samples == {'train': 1}


def test_convert_labelme_image_without_json_is_noted(tmp_path: Path) -> None:
    make_labelme(tmp_path / 'raw', [])
    save(tmp_path / 'raw/b.png', image())
    report = convert('labelme', tmp_path / 'raw', tmp_path / 'dst', settings=QUIET)
    assert '1 images have no .json file' in report.notices[0] and 'b.png' in report.notices[0]
