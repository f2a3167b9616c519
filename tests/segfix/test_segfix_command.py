"""tools/segfix.py: whole runs over small folders, stopped and gone on with, and bad input."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import scipy.io
from PIL import Image

from openseg_plugin.cli.main import EXIT_USER_ERROR, run
from openseg_plugin.cli.segfix import main
from openseg_plugin.segfix.offset_files import offset_bytes, read_targets
from openseg_plugin.segfix.refine import refine_labels
from openseg_plugin.segfix.targets import distance_and_direction
from openseg_plugin.utils.images import read_label

SHAPE = (40, 60)
NAMES = ('a', 'city/b', 'city/c')


def draw(seed):
    """A label map of train ids in blocks, with some void."""
    rng = np.random.default_rng(seed)
    small = rng.choice(np.uint8([0, 1, 2, 5, 8, 10]), (4, 6))
    label = small.repeat(10, 0).repeat(10, 1)
    label[:3, :5] = 255
    return label


def save(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path)


@pytest.fixture
def tree(tmp_path):
    """Label maps, offsets for them, and ground truth."""
    for seed, name in enumerate(NAMES):
        gt = draw(seed)
        save(tmp_path / 'gt' / f'{name}.png', gt)
        save(tmp_path / 'labels' / f'{name}.png', np.roll(np.where(gt == 255, 0, gt), 1, 1))
        steps = np.zeros((*SHAPE, 2), np.int8)
        steps[..., 1] = (np.roll(gt, 1, 1) != gt) * 1
        path = tmp_path / 'offsets' / f'{Path(name).name}.mat'
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(offset_bytes(steps, '.mat'))
    return tmp_path


def apply(tree, *more, labels='labels', offsets='offsets', out='out'):
    return run(main, ['apply', *(str(tree / name) for name in (labels, offsets, out)), *more])


def results(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob('*.png')
        if not path.name.startswith('.')
    }


def test_apply_refines_every_map_and_keeps_the_folders(tree):
    before = results(tree / 'labels')
    assert apply(tree) == 0
    assert sorted(results(tree / 'out')) == ['a.png', 'city/b.png', 'city/c.png']
    for name in NAMES:
        steps = scipy.io.loadmat(tree / 'offsets' / f'{Path(name).name}.mat')['mat']
        expected = refine_labels(read_label(tree / 'labels' / f'{name}.png'), steps)
        np.testing.assert_array_equal(read_label(tree / 'out' / f'{name}.png'), expected)
    assert results(tree / 'labels') == before


def test_apply_with_gt_prints_and_writes_scores_before_and_after(tree, capsys):
    report = tree / 'report.json'
    assert apply(tree, '--gt', str(tree / 'gt'), '--report-file', str(report)) == 0
    rows = json.loads(report.read_text())['per_class']
    assert set(rows) == {*(f'class {k}' for k in (0, 1, 2, 5, 8, 10)), 'mean'}
    assert rows['mean']['IoU after'] > rows['mean']['IoU before']
    printed = capsys.readouterr().out
    assert 'boundary F after' in printed and f'{100 * rows["mean"]["IoU after"]:.2f}' in printed
    first = report.read_text()
    # nothing to refine
    assert apply(tree, '--gt', str(tree / 'gt'), '--report-file', str(report)) == 0
    assert report.read_text() == first


def test_apply_again_goes_on_and_renews_what_is_older_than_its_input(tree):
    assert apply(tree) == 0
    out = tree / 'out'
    (out / 'a.png').unlink()
    kept = (out / 'city' / 'b.png').stat().st_mtime_ns
    shutil.copyfile(tree / 'labels' / 'a.png', tree / 'labels' / 'city' / 'c.png')
    assert apply(tree) == 0
    assert (out / 'a.png').is_file()
    assert (out / 'city' / 'b.png').stat().st_mtime_ns == kept
    label = read_label(out / 'city' / 'c.png')
    steps = scipy.io.loadmat(tree / 'offsets' / 'c.mat')['mat']
    assert np.array_equal(label, refine_labels(read_label(tree / 'labels' / 'a.png'), steps))


def test_apply_of_some_unusable_files_keeps_the_others_and_fails(tree, capsys):
    (tree / 'offsets' / 'b.mat').unlink()
    (tree / 'offsets' / 'c.mat').write_bytes(offset_bytes(np.zeros((20, 60, 2)), '.mat'))
    assert apply(tree) == EXIT_USER_ERROR
    assert list(results(tree / 'out')) == ['a.png']
    message = capsys.readouterr().err.splitlines()[-1]
    assert message.startswith('error: 2 of 3 files failed')
    assert 'city/b.png has no file' in message and 'c.mat is 20 x 60 pixels' in message


@pytest.mark.parametrize(
    ('offsets', 'message'),
    [
        (np.full((*SHAPE, 2), 0.5), 'with fractions'),
        (np.full((*SHAPE, 2), 900), 'offsets from 900 to 900'),
    ],
)
def test_apply_with_offsets_of_another_kind_is_refused(tree, capsys, offsets, message):
    scipy.io.savemat(tree / 'offsets' / 'a.mat', {'mat': offsets})
    assert apply(tree) == EXIT_USER_ERROR
    assert message in capsys.readouterr().err
    assert sorted(results(tree / 'out')) == ['city/b.png', 'city/c.png']


def to_label_ids(label):
    ids = np.full(256, 0, np.uint8)
    ids[[0, 1, 2, 5, 8, 10]] = 7, 8, 11, 17, 21, 23
    return ids[label]


@pytest.mark.parametrize('changed', ['labels', 'gt'])
def test_apply_of_label_ids_with_train_ids_is_refused(tree, capsys, changed):
    for path in (tree / changed).rglob('*.png'):
        save(path, to_label_ids(read_label(path)))
    assert apply(tree, '--gt', str(tree / 'gt')) == EXIT_USER_ERROR
    assert ' is taken as ' in capsys.readouterr().err
    assert not (tree / 'out').exists()


@pytest.mark.parametrize(('given', 'right'), [('cityscapes', 'train'), ('train', 'cityscapes')])
def test_apply_of_a_folder_said_to_be_of_another_kind_is_refused(tree, capsys, given, right):
    if right == 'cityscapes':
        for path in (tree / 'labels').rglob('*.png'):
            save(path, to_label_ids(read_label(path)))
    assert apply(tree, '--kind', given) == EXIT_USER_ERROR
    assert f'give --kind {right}' in capsys.readouterr().err
    assert apply(tree, '--kind', right) == 0


def test_apply_of_label_ids_names_the_classes_and_scores_them(tree, capsys):
    for folder in ('labels', 'gt'):
        for path in (tree / folder).rglob('*.png'):
            save(path, to_label_ids(read_label(path)))
        if folder == 'gt':
            for path in list((tree / 'gt').rglob('*.png')):
                path.rename(path.with_name(f'{path.stem}_gtFine_labelIds.png'))
    label = read_label(tree / 'gt' / 'a_gtFine_labelIds.png').astype(np.uint16)
    label[10:20, 10:20] = 26000
    save(tree / 'gt' / 'a_gtFine_instanceIds.png', label)
    report = tree / 'report.json'
    assert apply(tree, '--gt', str(tree / 'gt'), '--report-file', str(report)) == 0
    assert 'vegetation' in capsys.readouterr().out
    assert 255 not in read_label(tree / 'out' / 'a.png')
    tables = json.loads(report.read_text())
    mean = tables['per_class']['mean']
    assert tables['cityscapes']['classes']['IoU after'] == pytest.approx(mean['IoU after'])
    assert tables['cityscapes']['classes']['iIoU after'] == 0  # the car is predicted nowhere


def test_apply_of_color_images_is_refused(tree, capsys):
    save(tree / 'labels' / 'a.png', np.zeros((*SHAPE, 3), np.uint8))
    assert apply(tree) == EXIT_USER_ERROR
    assert 'a.png is a color image (3 channels)' in capsys.readouterr().err


def test_apply_of_palette_images_takes_their_positions(tree):
    assert apply(tree) == 0
    expected = results(tree / 'out')
    for path in (tree / 'labels').rglob('*.png'):
        image = Image.fromarray(read_label(path))
        image.putpalette(list(np.random.default_rng(0).integers(0, 256, 768)))
        image.save(path)
    assert apply(tree, out='other') == 0
    assert results(tree / 'other') == expected


@pytest.mark.parametrize('out', ['labels', 'offsets', 'gt'])
def test_apply_onto_an_input_is_refused_and_leaves_it(tree, capsys, out):
    before = results(tree)
    assert apply(tree, '--gt', str(tree / 'gt'), out=out) == EXIT_USER_ERROR
    assert 'is an input' in capsys.readouterr().err
    assert results(tree) == before


def test_apply_onto_files_of_somebody_else_is_refused(tree, capsys):
    save(tree / 'out' / 'a.png', np.zeros(SHAPE, np.uint8))
    before = results(tree / 'out')
    assert apply(tree) == EXIT_USER_ERROR
    assert 'was not made by this command' in capsys.readouterr().err
    assert results(tree / 'out')['a.png'] == before['a.png']


def test_apply_with_other_settings_into_the_same_folder_is_refused(tree, capsys):
    assert apply(tree) == 0
    before = results(tree / 'out')
    assert apply(tree, '--scale', '3') == EXIT_USER_ERROR
    assert 'scale 2 (now 3.0)' in capsys.readouterr().err
    assert results(tree / 'out') == before


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (['--scale', '1.5'], 'fractions of a pixel'),
        (['--kind', 'voc'], '--help lists'),
        (['--nonsense'], '--nonsense'),
    ],
)
def test_apply_with_options_that_do_not_fit_is_refused(tree, capsys, options, message):
    assert apply(tree, *options) == EXIT_USER_ERROR
    assert message in capsys.readouterr().err


@pytest.mark.parametrize('empty', ['labels', 'offsets', 'gt'])
def test_apply_with_an_empty_folder_is_refused(tree, capsys, empty):
    shutil.rmtree(tree / empty)
    (tree / empty).mkdir()
    assert apply(tree, '--gt', str(tree / 'gt')) == EXIT_USER_ERROR
    assert f'{tree / empty} has no' in capsys.readouterr().err


def make_targets(tree, *more, labels='gt', out='targets'):
    return run(main, ['make-targets', str(tree / labels), str(tree / out), *more])


def test_make_targets_writes_the_maps_of_every_label(tree):
    assert make_targets(tree) == 0
    for name in NAMES:
        path = tree / 'targets' / f'{name}.mat'
        expected = distance_and_direction(read_label(tree / 'gt' / f'{name}.png'))
        for one, other in zip(read_targets(path.read_bytes(), path.name), expected):
            np.testing.assert_array_equal(one, other)


def test_make_targets_passes_its_options_on(tree):
    options = ['--metric', 'taxicab', '--kernel-size', '3', '--min-pixels', '1']
    options += ['--ignore-values', '10']
    assert make_targets(tree, *options) == 0
    label = read_label(tree / 'gt' / 'a.png')
    expected = distance_and_direction(
        label, metric='taxicab', kernel_size=3, min_pixels=1, void=[10]
    )
    path = tree / 'targets' / 'a.mat'
    np.testing.assert_array_equal(read_targets(path.read_bytes(), path.name), expected)


def test_make_targets_again_makes_nothing_anew(tree, capsys):
    assert make_targets(tree, '--json') == 0
    told = json.loads(capsys.readouterr().out)
    assert told == dict(kind='train', made=len(NAMES), kept=0, out=str(tree / 'targets'))
    before = {path: path.stat().st_mtime_ns for path in (tree / 'targets').rglob('*.mat')}
    assert len(before) == 3
    assert make_targets(tree) == 0
    assert '0 made, 3 were there' in capsys.readouterr().out
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_make_targets_of_maps_that_do_not_show_their_kind_asks_for_it(tree, capsys):
    for path in (tree / 'gt').rglob('*.png'):
        save(path, read_label(path) // 255 * 90 + 30)
    assert make_targets(tree) == EXIT_USER_ERROR
    assert 'give --kind train|cityscapes|ade20k|instance' in capsys.readouterr().err
    assert make_targets(tree, '--kind', 'ade20k') == 0


def test_targets_applied_as_offsets_refine_towards_the_ground_truth(tree):
    assert make_targets(tree) == 0
    report = tree / 'report.json'
    options = ['--gt', str(tree / 'gt'), '--report-file', str(report)]
    assert apply(tree, *options, offsets='targets') == 0
    mean = json.loads(report.read_text())['per_class']['mean']
    assert mean['IoU after'] > mean['IoU before'] + 0.05
    assert mean['boundary F after'] > mean['boundary F before']


def test_the_tool_runs_and_reports_a_mistake_in_one_line(tree):
    tool = Path(__file__).parents[2] / 'tools' / 'segfix.py'
    arguments = ['apply', str(tree / 'labels'), str(tree / 'nothing'), str(tree / 'out')]
    done = subprocess.run(
        [sys.executable, str(tool), *arguments],
        capture_output=True,
        text=True,
        env={'PYTHONPATH': str(tool.parents[1]), 'PATH': ''},
    )
    assert done.returncode == EXIT_USER_ERROR
    assert done.stderr.splitlines()[-1].startswith('error: ')
    assert 'Traceback' not in done.stderr


def test_json_is_all_that_stands_on_standard_output(tree, capsys):
    assert apply(tree, '--gt', str(tree / 'gt'), '--json') == 0
    told = json.loads(capsys.readouterr().out)
    assert told and all(isinstance(name, str) for name in told)
    assert apply(tree, '--json', out='plain') == 0
    assert json.loads(capsys.readouterr().out) == {}
