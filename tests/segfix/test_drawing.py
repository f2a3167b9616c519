import cv2
import numpy as np
import pytest

from openseg_plugin.cli import segfix
from openseg_plugin.cli.main import run
from openseg_plugin.segfix.drawing import offset_colors
from openseg_plugin.segfix.offset_files import offset_bytes, wheel_color


@pytest.fixture
def files(tmp_path):
    """A label map of two halves whose edge is one column off, offsets that refine it, an image."""
    label = np.zeros((60, 80), np.uint8)
    label[:, 41:] = 1
    steps = np.zeros((60, 80, 2), np.int8)
    steps[:, 40] = 0, 1
    cv2.imwrite(str(tmp_path / 'label.png'), label)
    cv2.imwrite(str(tmp_path / 'image.jpg'), np.full((60, 80, 3), 200, np.uint8))
    (tmp_path / 'steps.png').write_bytes(offset_bytes(steps, '.png'))
    return tmp_path


def show(folder, *arguments: str) -> int:
    words = ['show', folder / 'label.png', folder / 'steps.png', folder / 'out.png', *arguments]
    return run(segfix.main, [str(word) for word in words])


def test_offset_colors_are_those_of_the_wheel_and_black_stays():
    steps = np.array([[[0, 0], [0, 1], [-1, 0]]], np.int8)
    expected = [(0, 0, 0), wheel_color(0, 1), wheel_color(-1, 0)]
    assert offset_colors(steps).tolist() == [list(map(list, expected))]


def test_show_marks_the_changed_pixels_and_enlarges_them(files):
    assert show(files) == 0
    sheet = cv2.imread(str(files / 'out.png'))[..., ::-1]
    tile = (sheet.shape[1] - 3 * 6) // 4
    factor = tile // 80
    column = 40 * factor + factor // 2
    top = 24 + 100  # below the captions
    before, after = sheet[:, :tile], sheet[:, 2 * (tile + 6) :]
    assert (before[top, column] != after[top, column]).any()
    assert (before[top, 0] == after[top, 0]).all()
    changed = (sheet == (240, 228, 66)).all(axis=2)
    first_row, enlarged = changed[: 24 + 60 * factor], changed[24 + 60 * factor :]
    assert first_row.sum() == 60 * factor * factor
    assert enlarged.sum() > first_row.sum()


def test_show_with_the_image_looks_different(files):
    assert show(files) == 0
    plain = cv2.imread(str(files / 'out.png'))
    assert show(files, '--image', files / 'image.jpg') == 0
    assert (plain != cv2.imread(str(files / 'out.png'))).any()


def test_show_with_offsets_of_another_size_says_so(files, capsys):
    (files / 'steps.png').write_bytes(offset_bytes(np.zeros((5, 5, 2), np.int8), '.png'))
    assert show(files) == 2
    assert '5 x 5' in capsys.readouterr().err


def test_show_never_writes_over_its_input(files, capsys):
    words = ['show', files / 'label.png', files / 'steps.png', files / 'label.png']
    assert run(segfix.main, [str(word) for word in words]) == 2
    assert 'is an input' in capsys.readouterr().err
