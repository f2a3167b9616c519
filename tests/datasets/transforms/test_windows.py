"""Faster forms of transforms: same random numbers, labels and places, nearly the same images."""

import cv2
import numpy as np
import pytest
from mmengine.registry import init_default_scope
from mmseg.registry import TRANSFORMS

from openseg_plugin.datasets.transforms.windows import faster

DRAWS = 12


def sample(size: tuple[int, int] = (800, 1200), *, point: bool = False) -> dict:
    """An image with sharp edges and noise, and a label of large and small areas."""
    rng = np.random.default_rng(0)
    blocks = rng.integers(0, 256, (size[0] // 8, size[1] // 8, 3), dtype=np.uint8)
    image = cv2.resize(blocks, size[::-1], interpolation=cv2.INTER_NEAREST)
    image = cv2.add(image, rng.integers(0, 50, image.shape, dtype=np.uint8))
    label = cv2.resize(blocks[..., 0] // 100, size[::-1], interpolation=cv2.INTER_NEAREST)
    label[:300, :300] = 255
    found = dict(img=image, gt_seg_map=label, seg_fields=['gt_seg_map'], img_shape=size)
    return found | dict(crop_point=(700, 500)) if point else found


def build(*steps: dict) -> list:
    init_default_scope('mmseg')
    return [TRANSFORMS.build(step) for step in steps]


def run(transforms: list, results: dict, seed: int) -> tuple[dict, float]:
    np.random.seed(seed)
    for transform in transforms:
        results = transform(results)
    return results, np.random.random()


OURS = (
    dict(type='openseg_plugin.RandomResize', scale_range=(0.5, 3.0)),
    dict(type='openseg_plugin.RandomCrop', crop_size=(96, 96), pad_value=0),
)
STOCK = (
    dict(type='RandomResize', scale=(1200, 800), ratio_range=(0.5, 3.0), keep_ratio=True),
    dict(type='RandomCrop', crop_size=(96, 96), cat_max_ratio=0.6),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PhotoMetricDistortion'),
)


@pytest.mark.parametrize(
    ('steps', 'number', 'levels'),
    [
        (OURS, 1, 1),
        ((dict(OURS[0], interpolation='bilinear'), dict(OURS[1], crop_size=(600, 96))), 1, 1),
        (STOCK[:2], 1, 1),
        (STOCK[1:], 3, 0),
    ],
    ids=['ours', 'bilinear, padded', 'stock', 'crop and colors'],
)
def test_samples_are_the_same(steps, number, levels):
    plain, fast = build(*steps), faster(build(*steps))
    exact = faster(build(*steps), exact=True)
    assert (len(fast), len(exact)) == (number, len(plain))
    is_scaled_less = False
    for seed in range(DRAWS):
        point = steps[0]['type'].startswith('openseg') and seed % 2 == 1
        expected, after = run(plain, sample(point=point), seed)
        for transforms, most in ((fast, levels), (exact, 0)):
            found, position = run(transforms, sample(point=point), seed)
            assert position == after  # as many random numbers were drawn
            apart = cv2.absdiff(expected['img'], found['img'])
            assert apart.max() <= most, seed
            is_scaled_less |= bool(apart.any())
            np.testing.assert_array_equal(found['gt_seg_map'], expected['gt_seg_map'])
            rest = {k: v for k, v in expected.items() if k not in ('img', 'gt_seg_map')}
            assert {k: v for k, v in found.items() if k not in ('img', 'gt_seg_map')} == rest
    assert is_scaled_less is bool(levels)


def test_other_transforms_stay_as_they_are():
    steps = (
        dict(type='RandomResize', scale=(1200, 800), ratio_range=(0.5, 2), interpolation='area'),
        dict(type='openseg_plugin.RandomFlip'),
        dict(type='openseg_plugin.RandomCrop', crop_size=(64, 64)),
    )
    plain = build(*steps)
    assert faster(plain) == plain
