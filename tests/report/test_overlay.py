import numpy as np
import pytest

from openseg_plugin.report.overlay import (
    blend,
    colour,
    draw_panel,
    draw_samples,
    draw_sheet,
    errors,
    legend,
)

PALETTE = [[255, 0, 0], [0, 255, 0], [0, 0, 255]]
CLASSES = ['road', 'sky', 'a rather long class name']


@pytest.fixture
def image() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 255, (40, 330, 3), np.uint8)


def test_colour_of_ids_without_a_class_is_black():
    label = np.array([[0, 2, 3, 255, -1]])
    assert colour(label, PALETTE).tolist() == [
        [[255, 0, 0], [0, 0, 255], [0, 0, 0], [0, 0, 0], [0, 0, 0]]
    ]


@pytest.mark.parametrize('share', [0.0, 1.0])
def test_blend_at_its_ends_is_image_or_colours(image, share):
    colours = np.full_like(image, 77)
    assert np.array_equal(blend(image, colours, share=share), colours if share else image)


def test_errors_are_red_where_wrong_and_black_where_not_asked():
    image = np.full((1, 3, 3), 200, np.uint8)
    asked = np.array([[True, True, False]])
    right, wrong, void = errors(image, asked=asked, right=np.array([[True, False, False]]))[0]
    assert wrong[0] > 150 > 100 > wrong[1]
    assert len(set(right.tolist())) == 1 and right[0] < 100
    assert void.max() < 20


def test_panel_of_a_perfect_prediction_says_so_and_shows_four_tiles(image):
    label = np.zeros((40, 330), np.uint8)
    label[:, 100:] = 1
    panel = draw_panel(image, label, label, PALETTE, CLASSES, title='a scene')
    assert panel.dtype == np.uint8
    assert panel.shape[1] == 4 * 330 + 3 * 6
    first = panel[48:88, :330]  # below title and caption
    assert np.array_equal(first, image)
    assert np.array_equal(panel[48:88, 336:666], colour(label, PALETTE))
    last = panel[48:88, -330:].astype(int)
    assert np.ptp(last, axis=2).max() == 0  # grey: nothing is wrong


def test_panel_without_label_has_two_tiles(image):
    panel = draw_panel(image, None, np.zeros((40, 330), int), PALETTE, CLASSES)
    assert panel.shape[1] == 2 * 330 + 6


def test_panel_legend_names_only_what_is_shown(image):
    label = np.zeros((40, 330), np.uint8)
    both = label.copy()
    both[0] = 2
    one = draw_panel(image, label, label, PALETTE, CLASSES)
    two = draw_panel(image, both, label, PALETTE, CLASSES)

    def has(panel: np.ndarray, wanted: list[int]) -> bool:
        return bool((panel[24 + 40 :] == wanted).all(2).any())

    assert has(one, PALETTE[0]) and not has(one, PALETTE[2])
    assert has(two, PALETTE[2]) and not has(two, PALETTE[1])


def test_panel_of_different_sizes_is_refused(image):
    label = np.zeros((40, 330), np.uint8)
    with pytest.raises(ValueError, match=r'prediction is \(40, 329\) but the image \(40, 330\)'):
        draw_panel(image, label, label[:, 1:], PALETTE, CLASSES)
    with pytest.raises(ValueError, match=r'label is \(39, 330\)'):
        draw_panel(image, label[1:], label, PALETTE, CLASSES)


@pytest.mark.parametrize('width, tile', [(100, 400), (320, 320), (2048, 1024)])
def test_panel_tiles_of_small_and_large_images_are_fitted(width, tile):
    image = np.zeros((50, width, 3), np.uint8)
    panel = draw_panel(image, None, np.zeros((50, width), int), PALETTE, CLASSES)
    assert panel.shape[1] == 2 * tile + 6


def test_legend_wraps_to_its_width():
    assert (
        legend(CLASSES, PALETTE, width=1000).shape[0] < legend(CLASSES, PALETTE, width=150).shape[0]
    )
    assert legend(CLASSES, PALETTE, width=150).shape[1] == 150
    assert legend([], [], width=50).shape[1:] == (50, 3)


def test_sheet_stacks_panels_of_any_width():
    panels = [np.zeros((10, 30, 3), np.uint8), np.zeros((20, 50, 3), np.uint8)]
    sheet = draw_sheet(panels)
    assert sheet.shape == (10 + 6 + 20, 50, 3)
    assert (sheet[:10, 30:] == 255).all()
    with pytest.raises(ValueError, match='at least one panel'):
        draw_sheet([])


def test_samples_are_captioned_once(image):
    label = np.zeros((40, 330), np.uint8)
    sheet = draw_samples([(image, label, label)] * 2, PALETTE, CLASSES)
    assert np.array_equal(sheet[24:64, :330], image)
    assert np.array_equal(sheet[70:110, :330], image)
