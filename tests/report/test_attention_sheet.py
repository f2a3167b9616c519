"""The sheet of a multi-scale network: its parts are where they belong, its weights sum to 1."""

import numpy as np

from openseg_plugin.report.panel import (
    ScaleView,
    draw_attention_sheet,
    heat,
    scale_weights,
)

PALETTE, CLASSES = [(255, 0, 0), (0, 0, 255)], ['left', 'right']


def _views(size, scales) -> list[ScaleView]:
    halves = np.repeat([[0, 1]], size[0], 0).repeat(size[1] // 2, 1)
    return [
        ScaleView(scale, None if index == 0 else np.full(size, index / 4), halves)
        for index, scale in enumerate(scales)
    ]


def sheet(size=(60, 120), scales=(2.0, 1.0, 0.5)):
    image = np.full((*size, 3), 120, np.uint8)
    views = _views(size, scales)
    return draw_attention_sheet(image, views[0].prediction, views, PALETTE, CLASSES, title='a')


def test_weights_of_the_scales_follow_the_chain_and_sum_to_one():
    weights = [float(one[0, 0]) for one in scale_weights(_views((4, 6), (2.0, 1.0, 0.5)))]
    assert np.allclose(weights, [0.75 * 0.5, 0.25 * 0.5, 0.5])
    assert np.isclose(sum(weights), 1)


def test_sheet_has_a_row_per_scale_and_one_for_the_result():
    three, one = sheet(), sheet(scales=(1.0,))
    assert three.dtype == np.uint8
    assert three.shape[1] == one.shape[1]
    # 240 pixels of a tile, its caption and the gap, twice
    assert 2 * 240 < three.shape[0] - one.shape[0] < 2 * 300


def test_every_scale_shows_its_weight_also_the_finest():
    drawn = {tuple(color) for color in sheet().reshape(-1, 3).tolist()}
    for weight in (0.75 * 0.5, 0.25 * 0.5, 0.5):
        assert tuple(heat(np.full((1, 1), weight))[0, 0].tolist()) in drawn


def test_heat_runs_from_dark_to_bright():
    brightness = heat(np.linspace(0, 1, 50)[None]).astype(int).sum(2)[0]
    assert (np.diff(brightness) > 0).mean() > 0.9
    assert brightness[-1] > 2 * brightness[0]


def test_tall_and_wide_images_are_drawn():
    for size in ((200, 10), (3, 2000)):
        assert sheet(size).ndim == 3
