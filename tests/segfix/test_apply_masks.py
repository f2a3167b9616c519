"""segfix/apply_masks.py: object masks in the format of the Cityscapes instance benchmark."""

import json

import numpy as np
import pytest
from PIL import Image

from openseg_plugin.cli.main import EXIT_USER_ERROR, run
from openseg_plugin.cli.segfix import main
from openseg_plugin.segfix.offset_files import offset_bytes
from openseg_plugin.segfix.refine import refine_masks
from openseg_plugin.utils.images import read_label

SHAPE = (20, 30)


def save(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path)


@pytest.fixture
def tree(tmp_path):
    """Two objects one pixel off, an empty list, offsets that refine them, instance ids."""
    instances = np.full(SHAPE, 7, np.uint16)
    instances[5:15, 5:12], instances[5:15, 18:26] = 24000, 26000
    save(tmp_path / 'gt' / 'ulm' / 'ulm_1_gtFine_instanceIds.png', instances)
    lines = []
    for index, (label_id, number) in enumerate(((24, 24000), (26, 26000))):
        mask = np.roll(instances == number, 1, 1) * np.uint8(255)
        save(tmp_path / 'masks' / 'ulm' / f'm{index}.png', mask)
        lines.append(f'm{index}.png {label_id} 0.9\n')
    (tmp_path / 'masks' / 'ulm' / 'ulm_1_leftImg8bit_pred.txt').write_text(''.join(lines))
    (tmp_path / 'masks' / 'ulm' / 'ulm_2_leftImg8bit_pred.txt').write_text('')
    steps = np.zeros((*SHAPE, 2), np.int8)
    steps[..., 1] = 1
    (tmp_path / 'offsets').mkdir()
    (tmp_path / 'offsets' / 'ulm_1_leftImg8bit.mat').write_bytes(offset_bytes(steps, '.mat'))
    return tmp_path


def apply(tree, *more):
    places = [str(tree / name) for name in ('masks', 'offsets', 'out')]
    return run(main, ['apply', '--instance', *places, *more])


def test_apply_refines_masks_and_copies_lists_even_empty_ones(tree):
    assert apply(tree) == 0
    steps = np.zeros((*SHAPE, 2), int) + [0, 1]
    for index in range(2):
        mask = read_label(tree / 'masks' / 'ulm' / f'm{index}.png')
        expected = refine_masks(mask[None], steps)[0] * 255
        np.testing.assert_array_equal(read_label(tree / 'out' / 'ulm' / f'm{index}.png'), expected)
    for path in (tree / 'masks').rglob('*.txt'):
        assert (tree / 'out' / 'ulm' / path.name).read_bytes() == path.read_bytes()


def test_apply_with_gt_scores_the_objects_of_every_class(tree, capsys):
    report = tree / 'report.json'
    assert apply(tree, '--gt', str(tree / 'gt'), '--report-file', str(report)) == 0
    rows = json.loads(report.read_text())['per_class']
    assert set(rows) == {'person', 'car', 'mean'}
    assert rows['mean']['IoU after'] == rows['person']['boundary F after'] == 1
    assert rows['person']['IoU before'] == pytest.approx(6 / 8)
    assert '2 masks overlap' in capsys.readouterr().out


def test_apply_again_changes_nothing(tree):
    assert apply(tree) == 0
    before = {path: path.stat().st_mtime_ns for path in (tree / 'out').rglob('*')}
    assert apply(tree) == 0
    assert {path: path.stat().st_mtime_ns for path in before} == before


@pytest.mark.parametrize(
    ('line', 'message'),
    [
        ('gone.png 24 0.5', 'gone.png, named in'),
        ('m0.png 24', 'is not "mask.png labelId score"'),
        ('m0.png person 0.5', 'is not "mask.png labelId score"'),
        ('../m0.png 24 0.5', 'outside of the folder'),
        ('/tmp/m0.png 24 0.5', 'outside of the folder'),
    ],
)
def test_apply_with_an_unusable_list_fails_and_keeps_the_others(tree, capsys, line, message):
    name = 'ulm_1_leftImg8bit_pred.txt'
    (tree / 'masks' / 'ulm' / name).write_text(f'{line}\n')
    assert apply(tree) == EXIT_USER_ERROR
    assert message in capsys.readouterr().err
    assert sorted(path.name for path in (tree / 'out' / 'ulm').iterdir()) == [
        'ulm_2_leftImg8bit_pred.txt'
    ]


def test_apply_of_a_folder_without_lists_is_refused(tree, capsys):
    for path in (tree / 'masks').rglob('*.txt'):
        path.unlink()
    assert apply(tree) == EXIT_USER_ERROR
    assert 'has no *_pred.txt lists' in capsys.readouterr().err


def test_apply_with_label_ids_as_ground_truth_is_refused(tree, capsys):
    path = tree / 'gt' / 'ulm' / 'ulm_1_gtFine_instanceIds.png'
    save(path, (read_label(path) // 1000).astype(np.uint8))
    assert apply(tree, '--gt', str(tree / 'gt')) == EXIT_USER_ERROR
    assert 'is taken as instance' in capsys.readouterr().err
