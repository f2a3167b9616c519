"""inference/polygons.py: regions with holes, and the way through labelme and back."""

import json

import cv2
import numpy as np
import pytest
from PIL import Image

from openseg_plugin.cli.convert_dataset import main as convert
from openseg_plugin.cli.main import run
from openseg_plugin.errors import ConfigError
from openseg_plugin.inference.polygons import coco_file, labelme, relative_image, shapes_of


def test_addresses_stay_as_they_are_in_polygon_files(tmp_path):
    assert relative_image('https://host/a.jpg', tmp_path / 'a.json') == 'https://host/a.jpg'


CLASSES = ['_background_', 'road', 'car', 'sign']


def scene(height=240, width=320, *, seed=0):
    """Smooth regions, rings with something inside, and one-pixel details."""
    generator = np.random.default_rng(seed)
    noise = cv2.GaussianBlur(generator.standard_normal((height, width)), (0, 0), 14)
    labels = np.digitize(noise, np.quantile(noise, [0.4, 0.7])).astype(np.uint8)
    for k, radius in ((3, 50), (0, 30), (2, 12)):
        cv2.circle(labels, (width // 2, height // 2), radius, k, -1)
    labels[5, 7] = 3
    return labels


def drawn(shapes, size):
    labels = np.full(size, 255, np.uint8)
    for shape in shapes:
        cv2.fillPoly(labels, [shape.outline.astype(np.int32)], shape.label)
    return labels


@pytest.mark.parametrize('seed', range(3))
def test_shapes_without_tolerance_draw_the_same_labels(seed):
    labels = scene(seed=seed)
    assert np.array_equal(drawn(shapes_of(labels, tolerance=0), labels.shape), labels)


def test_holes_and_areas_are_those_of_the_regions():
    labels = np.zeros((40, 60), np.uint8)
    labels[5:30, 5:50] = 1
    labels[10:20, 10:30] = 2
    labels[12:15, 12:20] = 1
    outer, ring, inner, spot = shapes_of(labels)
    assert [shape.label for shape in (outer, ring, inner, spot)] == [0, 1, 2, 1]
    assert [len(shape.holes) for shape in (outer, ring, inner, spot)] == [1, 1, 1, 0]
    assert ring.area == 25 * 45 - 10 * 20
    with pytest.raises(ConfigError, match='tolerance'):
        shapes_of(labels, tolerance=-1)


def test_tolerance_saves_points():
    labels = scene()
    exact, coarse = (
        sum(len(shape.outline) for shape in shapes_of(labels, tolerance=t)) for t in (0, 1)
    )
    assert coarse < exact / 3


def test_predictions_come_back_from_labelme(tmp_path):
    source, target = tmp_path / 'src', tmp_path / 'dst'
    source.mkdir()
    expected = {}
    for k in range(3):
        labels = scene(seed=k)
        Image.fromarray(labels * 60).convert('RGB').save(source / f'{k}.png')
        content = labelme(
            shapes_of(labels, tolerance=1),
            CLASSES,
            image_name=f'{k}.png',
            size=labels.shape,
        )
        (source / f'{k}.json').write_text(json.dumps(content))
        expected[f'{k}.png'] = labels
    assert run(convert, ['labelme', str(source), str(target)]) == 0
    names = json.loads((target / 'dataset.json').read_text())['classes']
    found = {path.name: np.asarray(Image.open(path)) for path in target.rglob('label/*.png')}
    assert found.keys() == expected.keys()
    for name, labels in found.items():
        ours = np.array([CLASSES.index(n) if n in CLASSES else 0 for n in names])[labels]
        assert (ours == expected[name]).mean() >= 0.99


def test_coco_files_hold_the_pixels_of_regions_with_holes():
    labels = scene()
    content = coco_file([('a.png', labels.shape, shapes_of(labels, tolerance=0))], CLASSES)
    assert [c['name'] for c in content['categories']] == CLASSES
    rebuilt = np.full(labels.shape, 255, np.uint8)
    for annotation in content['annotations']:
        segmentation = annotation['segmentation']
        if isinstance(segmentation, dict):
            values = np.arange(len(segmentation['counts'])) % 2
            flat = np.repeat(values, segmentation['counts'])
            mask = flat.reshape(labels.shape, order='F').astype(bool)
        else:
            mask = np.zeros(labels.shape, np.uint8)
            ring = np.array(segmentation[0]).reshape(-1, 2).astype(np.int32)
            mask = cv2.fillPoly(mask, [ring], 1).astype(bool)
        assert mask.sum() == annotation['area']
        rebuilt[mask] = annotation['category_id'] - 1
    assert np.array_equal(rebuilt, labels)
