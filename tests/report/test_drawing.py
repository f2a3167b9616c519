"""What is drawn can be read: legend colors are the drawn ones, kinds of errors, text."""

import re

import numpy as np
import pytest

from openseg_plugin.report.charts import Axes, Series, draw_confusion, line_chart
from openseg_plugin.report.drawing import (
    AT_BOUNDARY,
    ERROR_KINDS,
    FALSE,
    GAP,
    IGNORED,
    MISSED,
    RIGHT,
    boundary_distance,
    draw_errors,
    draw_labels,
    draw_legend,
    draw_sheet,
    error_kinds,
    fit,
    scale_caption,
)
from openseg_plugin.report.panel import change_tile, draw_panel, draw_tiles
from openseg_plugin.report.text import text_mask

PALETTE = ((10, 20, 30), (200, 60, 20), (0, 140, 90))
CLASSES = ('road', 'car', 'tree')


def _colors(image: np.ndarray) -> set[tuple[int, ...]]:
    return {tuple(color) for color in image.reshape(-1, 3).tolist()}


def test_legend_has_exactly_the_colors_of_ground_truth_and_prediction():
    label = np.zeros((40, 60), np.int64)
    label[:, 20:40], label[:, 40:] = 1, 2
    drawn = _colors(draw_labels(label, PALETTE, CLASSES))
    legend = _colors(draw_legend(CLASSES, PALETTE, width=400))
    assert set(PALETTE) <= drawn
    assert set(PALETTE) <= legend


def test_labels_are_outlined_and_ids_without_a_class_are_black():
    label = np.array([[0] * 6, [0] * 6, [7] * 6, [7] * 6])
    drawn = draw_labels(label, PALETTE, CLASSES)
    assert tuple(drawn[3, 0]) == (0, 0, 0)
    assert tuple(drawn[0, 0]) == PALETTE[0]
    assert tuple(drawn[1, 0]) not in (PALETTE[0], (0, 0, 0))


def test_prediction_of_a_class_that_labels_leave_out_keeps_its_color():
    label = np.zeros((40, 60), np.int64)
    prediction = np.zeros_like(label)
    label[:, 30:] = prediction[:, 30:] = 1
    image = np.full((*label.shape, 3), 255, np.uint8)
    truth, predicted = (
        draw_tiles(image, label, prediction, PALETTE, CLASSES, ignore_index=0)[0][k].image
        for k in (1, 2)
    )
    assert PALETTE[0] not in _colors(truth)
    assert PALETTE[0] in _colors(predicted)


def test_errors_are_named_after_the_rarer_class_and_near_boundaries_after_those():
    label = np.zeros((20, 40), np.int64)
    label[:, 20:] = 1
    label[0, 0] = 255
    prediction = label.copy()
    prediction[10, 5] = 1  # rare class seen where there is none
    prediction[10, 35] = 0  # rare class not seen
    prediction[10, 20] = 0  # on the boundary
    prediction[5, 5] = 77  # no class
    kinds = error_kinds(label, prediction, [100, 1])
    assert kinds[0, 0] == IGNORED
    assert kinds[10, 5] == FALSE
    assert kinds[10, 35] == MISSED
    assert kinds[10, 20] == AT_BOUNDARY
    assert kinds[5, 5] == MISSED
    assert kinds[1, 1] == RIGHT


def test_boundary_errors_end_at_three_pixels():
    label = np.zeros((3, 20), np.int64)
    label[:, 10:] = 1
    kinds = error_kinds(label, 1 - label, [2, 1])
    # columns 9 and 10 touch the boundary: distance 0
    assert (kinds[:, 7:13] == AT_BOUNDARY).all()
    assert (kinds[:, :7] == FALSE).all()
    assert (kinds[:, 13:] == MISSED).all()


def test_rim_of_an_ignored_region_is_no_boundary():
    label = np.zeros((3, 20), np.uint8)
    label[:, 8:12] = 9
    kinds = error_kinds(label, np.ones_like(label), [2, 1], ignore_index=9)
    assert (kinds[:, :8] == FALSE).all()
    assert np.isinf(boundary_distance(label, ignore_index=9)).all()


def test_a_map_of_one_label_has_no_boundary():
    assert np.isinf(boundary_distance(np.zeros((4, 5), np.uint8))).all()


def test_errors_have_the_colors_of_their_legend():
    kinds = np.array([[RIGHT, MISSED, FALSE, AT_BOUNDARY, IGNORED]], np.uint8)
    drawn = draw_errors(np.full((1, 5, 3), 200, np.uint8), kinds)
    for column in (MISSED, FALSE, AT_BOUNDARY):
        assert tuple(drawn[0, column]) == ERROR_KINDS[column].color


def test_changes_of_refinement_are_told_apart():
    label = np.zeros((20, 320), np.int64)
    before, after = label.copy(), label.copy()
    before[0, :5] = 1  # corrected
    after[5, :3] = 1  # spoiled
    before[9, 0], after[9, 0] = 1, 2
    tile = change_tile(np.zeros((20, 320, 3), np.uint8), label, before, after)
    assert tile.caption == 'changes: 5 px to right, 3 px to wrong'
    assert len({tuple(tile.image[row, 0]) for row in (0, 5, 9, 15)}) == 4


@pytest.mark.parametrize(
    ('width', 'shown', 'text'), [(40, 320, '8x'), (500, 500, ''), (4096, 1024, '25 %')]
)
def test_small_images_are_enlarged_and_large_ones_shrunk_and_it_is_said(width, shown, text):
    assert fit(np.zeros((10, width), np.uint8)).shape[1] == shown
    assert text in scale_caption(width)


def test_few_wrong_pixels_outlive_the_shrinking_of_a_large_image():
    label = np.zeros((512, 2048), np.uint8)
    prediction = label.copy()
    prediction[101, 1001] = 1
    image = np.zeros((*label.shape, 3), np.uint8)
    tiles, _ = draw_tiles(image, label, prediction, PALETTE, CLASSES, frequency=[9, 1, 1])
    assert tiles[-1].image.shape[1] == 1024
    assert (tiles[-1].image == ERROR_KINDS[FALSE].color).all(axis=2).sum() == 1
    tile = change_tile(image, label, label, prediction)
    assert len(_colors(tile.image)) == 2


def test_names_in_a_panel_do_not_meet():
    label = np.zeros((60, 120), np.uint8)
    label[:, 20:50], label[:, 50:80] = 1, 2  # names are wider than the regions
    first, second, both = (
        draw_labels(label, PALETTE, names)
        for names in (('', 'sidewalk', ''), ('', '', 'sidewalk'), ('', 'sidewalk', 'sidewalk'))
    )
    assert not np.array_equal(first, second)
    assert np.array_equal(both, first)


def test_panel_of_a_prediction_without_ground_truth_has_two_tiles():
    image, ids = np.zeros((30, 330, 3), np.uint8), np.zeros((30, 330), np.int64)
    two = draw_panel(image, None, ids, PALETTE, CLASSES)
    four = draw_panel(image, ids, ids, PALETTE, CLASSES, title='a.png', before=ids)
    assert two.shape[1] < 700 < four.shape[1]


def test_panel_names_what_has_another_size():
    image, ids = np.zeros((3, 4, 3), np.uint8), np.zeros((3, 5), np.int64)
    with pytest.raises(ValueError, match='prediction'):
        draw_panel(image, None, ids, PALETTE, CLASSES)


def test_rows_of_other_widths_share_a_sheet():
    rows = [np.zeros((h, w, 3), np.uint8) for h, w in ((9, 40), (5, 400))]
    assert draw_sheet(rows).shape == (9 + 5 + GAP, 400, 3)


def test_caption_of_a_small_confusion_matrix_is_whole():
    widths = [
        draw_confusion(np.zeros((2, 3), int), CLASSES[:2], title=title).shape[1]
        for title in ('iteration 1', 'iteration 1' + 40 * '0')
    ]
    assert widths[1] - widths[0] > 40 * 8


def test_numbers_of_a_chart_end_inside_it():
    steps = np.array([10.0, 200_000.0])
    chart = line_chart([Series('run', steps, steps)], Axes('loss', 'iteration', ''))
    assert re.search(r'<text class="tick end" x="520" y="\d+">200,000</text>', chart)


def test_sheet_needs_a_panel():
    with pytest.raises(ValueError, match='at least one'):
        draw_sheet([])


@pytest.mark.parametrize('text', ['road', 'Straße', 'дорога', 'طريق'])
def test_text_is_drawn_by_a_font_that_has_it(text):
    assert text_mask(text, 14).any()
    assert not np.array_equal(text_mask(text, 14), text_mask('?' * len(text), 14))


def test_characters_of_no_font_become_boxes_that_differ():
    # code points without a character, now and in future
    first, second = text_mask('\U000effff', 14), text_mask('\U000efffe', 14)
    assert first.any()
    assert second.any()
    assert first.shape != second.shape or not np.array_equal(first, second)


def test_chinese_and_japanese_names_differ_and_are_not_empty():
    drawn = [text_mask(name, 14).tobytes() for name in ('道路', '建物', 'ロード')]
    assert len(set(drawn)) == 3


def test_control_characters_and_broken_names_can_be_drawn():
    assert text_mask('a\x00b\udc80\n', 14).any()
    assert text_mask('', 14).shape[1] == 0
