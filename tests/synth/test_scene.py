import numpy as np
import pytest

from openseg_plugin.datasets.classes import CITYSCAPES_LABELS
from openseg_plugin.synth.scene import draw_scene

SIZE = (96, 192)


@pytest.fixture(scope='module')
def scenes() -> list:
    return [draw_scene((0, 0, index), size=SIZE) for index in range(12)]


def test_scene_is_a_image_of_its_size(scenes):
    for scene in scenes:
        assert scene.image.shape == (*SIZE, 3)
        assert scene.image.dtype == np.uint8
        assert 15 < scene.image.mean() < 240 and scene.image.std() > 10


@pytest.mark.parametrize('size', [(96, 192), (67, 131)])
def test_scene_of_equal_seeds_is_equal(size):
    one, two = (draw_scene((5, 1, 7), size=size) for _ in range(2))
    assert np.array_equal(one.image, two.image)
    assert one.objects == two.objects
    assert one.image.shape[:2] == size


def test_scenes_of_other_seeds_differ(scenes):
    assert len({scene.image.tobytes() for scene in scenes}) == len(scenes)


def test_scene_polygons_lie_in_the_image(scenes):
    height, width = SIZE
    for scene in scenes:
        for _, polygon in scene.objects:
            x, y = np.array(polygon).T
            assert len(polygon) >= 3
            assert x.min() >= 0 and y.min() >= 0 and x.max() < width and y.max() < height


def test_scene_labels_are_those_of_the_release(scenes):
    names = {label.name for label in CITYSCAPES_LABELS}
    found = {label for scene in scenes for label, _ in scene.objects}
    assert {label.removesuffix('group') for label in found} <= names


def test_scenes_hold_the_classes_of_a_street(scenes):
    found = {label for scene in scenes for label, _ in scene.objects}
    assert found >= {
        *('road', 'sidewalk', 'building', 'wall', 'fence', 'pole', 'traffic light'),
        *('traffic sign', 'vegetation', 'terrain', 'sky', 'person', 'rider', 'car', 'bicycle'),
        *('truck', 'bus', 'ego vehicle', 'static', 'license plate'),
    }


def test_scenes_cannot_be_told_by_color_alone(scenes):
    """The classes overlap in color: the best guess from a pixel's color is often wrong."""
    from PIL import Image, ImageDraw

    ids = {label.name: label.train_id for label in CITYSCAPES_LABELS}
    votes = np.zeros((512, 256), np.int64)
    for scene in scenes:
        canvas = Image.new('L', SIZE[::-1], 255)
        for name, polygon in scene.objects:
            if name != 'license plate':
                value = ids[name if name in ids else name.removesuffix('group')]
                ImageDraw.Draw(canvas).polygon([tuple(p) for p in polygon], fill=value)
        label = np.asarray(canvas)
        color = (scene.image // 32).astype(np.int64) @ [64, 8, 1]
        np.add.at(votes, (color[label < 19], label[label < 19]), 1)
    assert votes.max(1).sum() / votes.sum() < 0.65
