"""Color jitter: values by hand, the rules re-stated for every pixel, the range of the draws."""

import colorsys

import numpy as np
import pytest
from in_one_test import in_one_test
from mmseg.registry import TRANSFORMS
from PIL import Image, ImageEnhance

from openseg_plugin.datasets.transforms import ColorJitter
from openseg_plugin.datasets.transforms.photometric import CHANGES, shift_hue
from openseg_plugin.errors import ConfigError

NONE = dict(brightness=0.0, contrast=0.0, saturation=0.0, hue=0.0)


def noise(size=(23, 31), seed=0) -> np.ndarray:
    """(H, W, 3) uint8."""
    return np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)


def changed(name: str, pixels, amount: float) -> list:
    """Pixels [(R, G, B), ...] of an image one pixel high."""
    image = Image.fromarray(np.array([pixels], np.uint8))
    return np.asarray(CHANGES[name](image, amount))[0].tolist()


@pytest.mark.parametrize('name', CHANGES)
def test_change_by_nothing_gives_the_very_same_image(name):
    image = noise()
    same = CHANGES[name](Image.fromarray(image), 0.0 if name == 'hue' else 1.0)
    np.testing.assert_array_equal(np.asarray(same), image)


@in_one_test(
    ('name', 'amount', 'before', 'after'),
    [
        ('brightness', 0.5, [(100, 51, 0)], [(50, 25, 0)]),
        ('brightness', 1.25, [(100, 4, 240)], [(125, 5, 255)]),
        # the mean of the grays 100 and 200 is 150
        ('contrast', 0.5, [(100,) * 3, (200,) * 3], [(125,) * 3, (175,) * 3]),
        ('contrast', 0.0, [(100,) * 3, (200,) * 3], [(150,) * 3, (150,) * 3]),
        ('contrast', 1.5, [(100,) * 3, (200,) * 3], [(75,) * 3, (225,) * 3]),
        # the gray of pure red is 0.299 * 255 = 76
        ('saturation', 0.0, [(255, 0, 0)], [(76, 76, 76)]),
        ('saturation', 0.5, [(255, 0, 0)], [(165, 38, 38)]),
        ('saturation', 0.5, [(90, 90, 90)], [(90, 90, 90)]),
        ('hue', 0.25, [(128, 128, 128), (7, 7, 7)], [(128, 128, 128), (7, 7, 7)]),
    ],
)
def test_change_gives_the_values_computed_by_hand(name, amount, before, after):
    assert changed(name, before, amount) == [list(pixel) for pixel in after]


@pytest.mark.parametrize('fraction', [-0.5, 0.5])
def test_hue_by_half_the_circle_exchanges_red_and_cyan(fraction):
    found = np.array(changed('hue', [(255, 0, 0), (0, 255, 255)], fraction))
    # 127 steps of 255 are half a step short, and the hue wraps at 256: up to 1.5 steps of 6 levels
    assert abs(found - [(0, 255, 255), (255, 0, 0)]).max() <= 9


@in_one_test('factor', [0.75, 0.9, 1.1, 1.25])
@in_one_test('name', ['brightness', 'contrast', 'saturation'])
def test_factor_blends_every_pixel_with_the_image_without_the_quality(name, factor):
    image = noise()
    red, green, blue = (image[..., channel].astype(int) for channel in range(3))
    # 0.299, 0.587 and 0.114 in 65536ths, rounded
    gray = (red * 19595 + green * 38470 + blue * 7471 + 32768) // 65536
    without = {
        'brightness': np.zeros(image.shape),
        'contrast': np.full(image.shape, int(gray.mean() + 0.5)),
        'saturation': np.repeat(gray[..., None], 3, axis=2),
    }[name].astype('float32')
    blend = without + np.float32(factor) * (image.astype('float32') - without)
    found = np.asarray(CHANGES[name](Image.fromarray(image), factor))
    np.testing.assert_array_equal(found, blend.clip(0, 255).astype(np.uint8))


def test_hue_of_every_pixel_turns_and_saturation_and_value_stay():
    image = noise()
    found = np.asarray(shift_hue(Image.fromarray(image), 0.25))
    for before, after in zip(image.reshape(-1, 3) / 255, found.reshape(-1, 3) / 255):
        hue, saturation, value = colorsys.rgb_to_hsv(*before)
        expected = colorsys.hsv_to_rgb((hue + 63 / 255) % 1, saturation, value)
        # the hue is cut to 8 bits and wraps at 256 instead of 255: two steps of 6 levels
        assert np.abs(np.array(expected) - after).max() < 12 / 255


@pytest.mark.parametrize('name', CHANGES)
def test_jitter_of_a_bgr_image_is_that_of_pil_in_rgb(name):
    image = noise()
    jitter = ColorJitter(**{**NONE, name: 0.25})
    np.random.seed(3)
    found = jitter(dict(img=image.copy()))['img']
    np.random.seed(3)
    ((drawn, amount),) = jitter._draw()
    assert drawn == name
    rgb = Image.fromarray(image[..., ::-1].copy())
    enhance = dict(
        brightness=ImageEnhance.Brightness, contrast=ImageEnhance.Contrast,
        saturation=ImageEnhance.Color,
    )  # fmt: skip
    expected = shift_hue(rgb, amount) if name == 'hue' else enhance[name](rgb).enhance(amount)
    np.testing.assert_array_equal(found[..., ::-1], np.asarray(expected))
    assert not np.array_equal(found, image)
    assert found.flags.c_contiguous and found.dtype == np.uint8


def test_draws_fill_their_ranges():
    jitter = ColorJitter(brightness=0.25, contrast=0.4, saturation=1.0, hue=0.1)
    draws = [dict(jitter._draw()) for _ in range(400)]
    for name, center, amount in (
        ('brightness', 1, 0.25), ('contrast', 1, 0.4), ('saturation', 1, 1.0), ('hue', 0, 0.1)
    ):  # fmt: skip
        values = np.array([draw[name] for draw in draws])
        assert center - amount <= values.min() < center - 0.95 * amount
        assert center + 0.95 * amount < values.max() <= center + amount


def test_every_order_of_the_four_changes_occurs():
    jitter = ColorJitter()
    orders = {tuple(name for name, _ in jitter._draw()) for _ in range(400)}
    assert len(orders) == 24


def test_same_seed_gives_the_same_image_and_another_one_does_not():
    jitter, found = ColorJitter(), []
    for seed in (5, 5, 6):
        np.random.seed(seed)
        found.append(jitter(dict(img=noise()))['img'])
    np.testing.assert_array_equal(found[0], found[1])
    assert not np.array_equal(found[0], found[2])


def test_jitter_by_nothing_keeps_the_image():
    image = noise()
    np.testing.assert_array_equal(ColorJitter(**NONE)(dict(img=image.copy()))['img'], image)


@pytest.mark.parametrize(
    ('option', 'message'),
    [
        (dict(brightness=-0.1), 'brightness=-0.1: it must be 0 to 1'),
        (dict(saturation=1.5), 'saturation=1.5'),
        (dict(hue=0.6), 'hue=0.6: it must be 0 to 0.5'),
    ],
    ids=str,
)
def test_amount_out_of_range_is_refused_by_name(option, message):
    with pytest.raises(ConfigError, match=message):
        ColorJitter(**option)


def test_jitter_is_registered_and_prints_its_options():
    built = TRANSFORMS.build(dict(type='openseg_plugin.ColorJitter', hue=0.0))
    assert repr(built) == 'ColorJitter(brightness=0.25, contrast=0.25, saturation=0.25, hue=0.0)'
