"""``segfix.py predict`` and ``test.py --segfix`` on a toy set with a tiny random network."""

import pprint
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.registry import init_default_scope
from toy_test_set import write_test_set

from openseg_plugin.cli import segfix, test
from openseg_plugin.cli.main import run
from openseg_plugin.registry import MODELS
from openseg_plugin.segfix.offset_files import offset_bytes, offsets_of_targets, read_offsets
from openseg_plugin.segfix.targets import distance_and_direction
from openseg_plugin.utils.images import read_label

NUMBER, SIZE = 5, (36, 48)


@pytest.fixture(scope='module')
def files(tmp_path_factory) -> dict[str, Path]:
    """Config, weights and images of a segmentor, and of a SegFix network for them."""
    folder = tmp_path_factory.mktemp('toy')
    config, weights = write_test_set(folder, number=NUMBER)
    model = dict(
        type='openseg_plugin.SegFix',
        data_preprocessor=dict(type='openseg_plugin.SegDataPreProcessor'),
        backbone=dict(type='openseg_plugin.HRNet', width=2, num_modules=(1, 1, 1), num_blocks=1),
        decode_head=dict(type='openseg_plugin.SegFixHead', in_channels=[2, 4, 8, 16], channels=4),
        test_cfg=dict(mode='whole'),
    )
    pipeline = [
        dict(type='LoadImageFromFile'),
        dict(type='openseg_plugin.LoadLabels'),
        dict(type='openseg_plugin.SegFixTargets'),
        dict(type='openseg_plugin.PackSegFixInputs'),
    ]
    sampler = dict(type='DefaultSampler', shuffle=False)
    loader = dict(dataset=dict(pipeline=pipeline), sampler=sampler)
    settings = dict(model=model, test_dataloader=loader)
    text = [f'{key} = {pprint.pformat(value)}' for key, value in settings.items()]
    (folder / 'segfix.py').write_text("default_scope = 'mmseg'\n" + '\n'.join(text) + '\n')
    torch.manual_seed(0)
    init_default_scope('mmseg')
    network = MODELS.build(model)
    for conv in (network.decode_head.boundary_seg, network.decode_head.direction_seg):
        torch.nn.init.normal_(conv.weight)
    torch.save(dict(state_dict=network.state_dict(), meta={}), folder / 'segfix.pth')
    gt = folder / 'gt'
    gt.mkdir()
    for path in (folder / 'data/val/label').iterdir():
        offsets = offsets_of_targets(*distance_and_direction(read_label(path)))
        (gt / f'{path.stem}.png').write_bytes(offset_bytes(offsets, '.png'))
    return dict(
        folder=folder, config=config, weights=weights, gt=gt,
        segfix=folder / 'segfix.py', segfix_weights=folder / 'segfix.pth',
        images=folder / 'data/val/image',
    )  # fmt: skip


def predict(files, out: Path, *arguments: str) -> int:
    names = ('segfix', 'segfix_weights', 'images')
    command = ['predict', *(str(files[name]) for name in names), str(out), *map(str, arguments)]
    return run(segfix.main, command)


def run_test(files, tmp_path: Path, *arguments) -> int:
    words = [files['config'], files['weights'], '--work-dir', tmp_path / 'work', *arguments]
    return run(test.main, [str(word) for word in words])


def offsets_in(folder: Path) -> dict[str, np.ndarray]:
    found = {path.stem: path for path in sorted(folder.iterdir()) if path.name[0] != '.'}
    return {stem: read_offsets(path.read_bytes(), path.name) for stem, path in found.items()}


@pytest.mark.parametrize('form', ['png', 'mat'])
def test_predict_writes_offsets_of_every_image(files, tmp_path, form):
    assert predict(files, tmp_path / 'out', '--format', form) == 0
    found = offsets_in(tmp_path / 'out')
    assert sorted(found) == [f'{k:02}' for k in range(NUMBER)]
    assert {one.shape for one in found.values()} == {(*SIZE, 2)}
    assert any(one.any() for one in found.values())


@pytest.mark.parametrize(
    'arguments', [['--batch-size', '3'], ['--mode', 'slide', '--crop-size', '64', '64']]
)
def test_predict_in_batches_or_in_one_large_crop_is_the_same(files, tmp_path, arguments):
    assert predict(files, tmp_path / 'one') == 0
    assert predict(files, tmp_path / 'other', *arguments) == 0
    first, second = (offsets_in(tmp_path / name) for name in ('one', 'other'))
    for stem, offsets in first.items():
        assert (offsets != second[stem]).mean() < 0.01


def test_predict_thresholds_on_probability_and_logit_differ(files, tmp_path):
    for name in ('prob', 'logit'):
        assert predict(files, tmp_path / name, '--threshold-on', name) == 0
    first, second = (offsets_in(tmp_path / name) for name in ('prob', 'logit'))
    assert any((offsets != second[stem]).any() for stem, offsets in first.items())


def test_predict_again_makes_only_what_is_missing(files, tmp_path, capsys):
    out = tmp_path / 'out'
    assert predict(files, out) == 0
    (out / '03.png').unlink()
    capsys.readouterr()
    assert predict(files, out) == 0
    assert '1 predicted, 4 were there, 0 failed' in capsys.readouterr().out


def test_predict_with_other_settings_refuses_the_folder(files, tmp_path, capsys):
    assert predict(files, tmp_path / 'out') == 0
    assert predict(files, tmp_path / 'out', '--mode', 'slide') == 2
    assert 'give another folder' in capsys.readouterr().err


def test_predict_keeps_what_was_done_when_a_image_is_broken(files, tmp_path, capsys):
    images = tmp_path / 'images'
    shutil.copytree(files['images'], images)
    (images / '02.png').write_bytes(b'no image')
    assert predict({**files, 'images': images}, tmp_path / 'out') == 2
    assert '02.png' in capsys.readouterr().err
    assert len(offsets_in(tmp_path / 'out')) == NUMBER - 1


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        ({'segfix': 'config'}, 'configs/segfix'),
        ({'segfix_weights': 'weights'}, 'does not fit'),
        ({'images': 'truth_of_nobody'}, 'is no folder'),
    ],
)
def test_predict_with_a_mistake_says_it_in_one_sentence(files, tmp_path, capsys, changes, message):
    wrong = {key: files.get(name, tmp_path / name) for key, name in changes.items()}
    assert predict({**files, **wrong}, tmp_path / 'out') == 2
    error = capsys.readouterr().err
    assert message in error
    assert 'Traceback' not in error


@pytest.mark.parametrize('augmented', [False, True])
def test_test_with_offsets_prints_metrics_before_and_after(files, tmp_path, capsys, augmented):
    arguments = ['--aug-test'] if augmented else []
    out, show = tmp_path / 'out', tmp_path / 'show'
    arguments += ['--segfix', files['gt'], '--out', out, '--show-dir', show]
    assert run_test(files, tmp_path, *arguments) == 0
    line = capsys.readouterr().out.strip().splitlines()[-1]
    assert line.count(' -> ') == 4
    assert 'mBF' in line
    assert len(list(out.iterdir())) == len(list(show.iterdir())) == NUMBER
    folders = sorted(path.name for path in (tmp_path / 'work').iterdir())
    name = 'test_aug' if augmented else 'test'
    assert {name, f'{name}_segfix'} <= set(folders)


def test_test_with_a_network_gives_the_metrics_of_its_offsets(files, tmp_path, capsys):
    assert predict(files, tmp_path / 'offsets') == 0
    lines = []
    for source in (tmp_path / 'offsets', f'{files["segfix"]}:{files["segfix_weights"]}'):
        assert run_test(files, tmp_path, '--segfix', source) == 0
        lines.append(capsys.readouterr().out.strip().splitlines()[-1])
    assert lines[0] == lines[1]


def test_written_label_maps_are_the_refined_ones(files, tmp_path):
    for name, arguments in (('plain', []), ('refined', ['--segfix', files['gt']])):
        assert run_test(files, tmp_path, '--out', tmp_path / name, *arguments) == 0
    for path in sorted((tmp_path / 'plain').iterdir()):
        plain, refined = (
            read_label(folder / path.name) for folder in (tmp_path / 'plain', tmp_path / 'refined')
        )
        offsets = read_offsets((files['gt'] / path.name).read_bytes(), path.name)
        rows, columns = np.indices(plain.shape)
        rows = (rows + 2 * offsets[..., 0]).clip(0, SIZE[0] - 1)
        columns = (columns + 2 * offsets[..., 1]).clip(0, SIZE[1] - 1)
        assert np.array_equal(refined, plain[rows, columns])


def test_missing_offsets_are_noticed_before_the_first_prediction(files, tmp_path, capsys):
    some = tmp_path / 'some'
    shutil.copytree(files['gt'], some)
    (some / '01.png').unlink()
    assert run_test(files, tmp_path, '--segfix', some, '--out', tmp_path / 'out') == 2
    assert '1 of 5 images cannot be refined' in capsys.readouterr().err
    assert not (tmp_path / 'out').exists()


def test_offsets_of_another_size_are_refused(files, tmp_path, capsys):
    shutil.copytree(files['gt'], tmp_path / 'small')
    small = offset_bytes(np.zeros((8, 8, 2), np.int8), '.png')
    (tmp_path / 'small' / '00.png').write_bytes(small)
    assert run_test(files, tmp_path, '--segfix', tmp_path / 'small') == 2
    assert 'predicted at the size of the labels' in capsys.readouterr().err


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['--segfix', 'nowhere'], 'does not exist'),
        (['--segfix', 'a.py:b.pth'], 'b.pth of --segfix does not exist'),
        (['--segfix-scale', '1'], 'belongs to --segfix'),
    ],
)
def test_test_with_a_mistake_says_it_in_one_sentence(files, tmp_path, capsys, arguments, message):
    assert run_test(files, tmp_path, *arguments) == 2
    assert message in capsys.readouterr().err


def test_segfix_network_itself_is_not_tested_with_views(files, capsys):
    words = [str(files['segfix']), str(files['segfix_weights']), '--aug-test']
    assert run(test.main, words) == 2
    assert 'predicts no classes' in capsys.readouterr().err
