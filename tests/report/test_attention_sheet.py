"""The sheet of a multi-scale network: its parts are where they belong."""

import numpy as np

from openseg_plugin.report.attention_sheet import ScaleView, draw_attention_sheet, heat

PALETTE, CLASSES = [(255, 0, 0), (0, 0, 255)], ['left', 'right']


def sheet(size=(60, 120), scales=(2.0, 1.0, 0.5)):
    image = np.full((*size, 3), 120, np.uint8)
    halves = np.repeat([[0, 1]], size[0], 0).repeat(size[1] // 2, 1)
    views = [
        ScaleView(scale, None if index == 0 else np.full(size, index / 2), halves)
        for index, scale in enumerate(scales)
    ]
    return draw_attention_sheet(image, halves, views, PALETTE, CLASSES, title='a')


def test_sheet_has_a_row_per_scale_and_one_for_the_result():
    three, one = sheet(), sheet(scales=(1.0,))
    assert three.dtype == np.uint8
    assert three.shape[1] == one.shape[1] == 966
    row = 240 + 26 + 6  # a tile, its caption and the gap
    assert three.shape[0] - one.shape[0] == 2 * row


def test_sheet_shows_attention_in_its_row():
    drawn = sheet()
    row = 240 + 26 + 6
    for index, share in ((1, 0.5), (2, 1.0)):
        middle = drawn[row * (index + 1) + 26 + 120, 240]
        assert np.array_equal(middle, heat(np.full((1, 1), share))[0, 0])


def test_heat_runs_from_dark_to_bright():
    brightness = heat(np.linspace(0, 1, 50)[None]).astype(int).sum(2)[0]
    assert (np.diff(brightness) > 0).mean() > 0.9
    assert brightness[-1] > 2 * brightness[0]


def test_tall_and_wide_images_are_drawn():
    for size in ((200, 10), (3, 2000)):
        assert sheet(size).ndim == 3
