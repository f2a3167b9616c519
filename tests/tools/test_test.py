"""tools/test.py: metrics, label maps, augmentation, missing labels, mistakes."""

import json
import shutil

import numpy as np
import pytest
import torch
from PIL import Image
from toy_test_set import write_test_set

from openseg_plugin.cli.main import run
from openseg_plugin.cli.test import main
from openseg_plugin.registry import MODELS  # noqa: F401  registers the toy modules' parents


@pytest.fixture(scope='module')
def files(tmp_path_factory):
    return write_test_set(tmp_path_factory.mktemp('toy'))


@pytest.fixture
def tested(files, tmp_path, capsys, monkeypatch):
    """Runs tools/test.py on the toy files: status, printed text, folder."""

    def call(*arguments, config=None, checkpoint=None):
        paths = [str(config or files[0]), str(checkpoint or files[1])]
        # yapf lays configs out for seconds
        monkeypatch.setattr(
            'mmengine.config.config.FormatCode', lambda text, **_: (text, False), raising=False
        )
        name = f'experiment_name=t{abs(hash(tmp_path))}'
        options = [name, f'visualizer.name={name}']
        options += [a for a in arguments if '=' in str(a)]
        rest = [str(a) for a in arguments if '=' not in str(a)]
        status = run(
            main, [*paths, '--work-dir', str(tmp_path / 'work'), *rest, '--cfg-options', *options]
        )
        return status, capsys.readouterr()

    return call


def metrics(folder, name='test'):
    return json.loads((folder / 'work' / name / 'metrics.json').read_text())['means']


def test_main_prints_and_writes_the_metrics(tested, tmp_path):
    status, printed = tested()
    assert status == 0
    means = metrics(tmp_path)
    assert set(means) == {'aAcc', 'mIoU', 'mAcc'}
    assert f'mIoU {means["mIoU"]:.2f}' in printed.out
    assert 'bright' in (tmp_path / 'work' / 'test' / 'per_class.csv').read_text()


def test_main_with_eval_chooses_the_metrics(tested, tmp_path):
    assert tested('--eval', 'mDice', 'mFscore')[0] == 0
    assert {'mDice', 'mFscore', 'mPrecision', 'mRecall'} < set(metrics(tmp_path))


def test_main_with_out_writes_a_label_map_per_image(tested, tmp_path):
    assert tested('--out', tmp_path / 'out')[0] == 0
    written = sorted(file.name for file in (tmp_path / 'out').iterdir())
    assert written == [f'{k:02}.png' for k in range(5)]
    image = Image.open(tmp_path / 'out' / '00.png')
    assert image.mode == 'P'
    assert image.size == (48, 36)
    assert np.asarray(image).max() < 3


def test_main_with_show_dir_draws_every_image(tested, tmp_path):
    assert tested('--show-dir', tmp_path / 'shown')[0] == 0
    written = sorted(file.name for file in (tmp_path / 'shown').iterdir())
    assert written == [f'{k:02}.jpg' for k in range(5)]
    panel = np.asarray(Image.open(tmp_path / 'shown' / '00.jpg'))
    assert panel.shape[1] > 4 * 48
    assert panel.std() > 20


def test_labels_are_those_of_the_exact_network(tested, tmp_path):
    maps = {}
    for option in ('--exact', '--debug'):  # the latter changes nothing
        assert tested(option, '--out', tmp_path / option)[0] == 0
        maps[option] = np.stack(
            [np.asarray(Image.open(file)) for file in sorted((tmp_path / option).iterdir())]
        )
    assert (maps['--exact'] == maps['--debug']).mean() >= 0.99999


def test_exact_in_half_precision_is_refused(tested):
    status, printed = tested('--exact', '--precision', 'bf16')
    assert status == 2
    assert '--exact keeps every rounding' in printed.err


@pytest.mark.parametrize('name', ['--aug-test', '--tta'])
def test_main_with_aug_test_merges_views(tested, tmp_path, name):
    assert tested()[0] == 0
    assert tested(name, '--out', tmp_path / 'out')[0] == 0
    assert metrics(tmp_path, 'test_aug') != metrics(tmp_path)
    assert len(list((tmp_path / 'out').iterdir())) == 5


def test_main_with_one_scale_and_no_flip_is_the_plain_test(tested, tmp_path):
    assert tested()[0] == 0
    assert tested('--aug-test', '--scales', '1', '--no-flip')[0] == 0
    assert metrics(tmp_path, 'test_aug') == metrics(tmp_path)


def test_main_without_a_tta_pipeline_in_the_config_makes_one(tested, tmp_path):
    assert tested('--aug-test', 'tta_pipeline=None', 'tta_model=None')[0] == 0
    assert 'mIoU' in metrics(tmp_path, 'test_aug')


@pytest.mark.parametrize('augmented', [False, True])
def test_main_with_format_only_needs_no_labels(tested, tmp_path, augmented):
    config, checkpoint = write_test_set(tmp_path)
    shutil.rmtree(tmp_path / 'data' / 'val' / 'label')
    arguments = ['--aug-test'] if augmented else []
    status, printed = tested(
        '--format-only', '--out', tmp_path / 'out', *arguments, config=config, checkpoint=checkpoint
    )
    assert status == 0, printed.err
    assert len(list((tmp_path / 'out').iterdir())) == 5


def test_main_without_labels_in_the_config_predicts_all_the_same(tested, tmp_path):
    status, printed = tested('test_dataloader.dataset.data_prefix.seg_map_path=None')
    assert status == 0, printed.err
    assert not (tmp_path / 'work' / 'test').exists()


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['--format-only'], 'say where with --out'),
        (['--scales', '0.5'], 'belong to --aug-test'),
        (['--eval', 'mIou'], 'mIou'),
        (['--aug_test'], 'did you mean --aug-test'),
        (['--label-ids', '--out', 'never'], 'names no label ids'),
        (['--label-ids'], 'add it'),
        (['test_dataloader=None'], 'has no test_dataloader'),
        (['model.decode_head.num_classes=4', 'model.decode_head.out_channels=4'], '4 classes'),
        (['test_dataloader.dataset.data_prefix.img_path=nowhere'], 'nowhere does not exist'),
    ],
)
def test_main_with_a_mistake_says_it_in_one_sentence(tested, arguments, message):
    status, printed = tested(*arguments)
    assert status == 2
    assert message in printed.err
    assert 'Traceback' not in printed.err
    assert printed.err.count('error:') == 1


def test_main_with_weights_of_other_classes_names_both_numbers(tested, files, tmp_path):
    checkpoint = torch.load(files[1], weights_only=True)
    weights = checkpoint['state_dict']
    for name in ('weight', 'bias'):
        weights[f'decode_head.conv_seg.{name}'] = weights[f'decode_head.conv_seg.{name}'][:2]
    torch.save(checkpoint, tmp_path / 'two.pth')
    status, printed = tested(checkpoint=tmp_path / 'two.pth')
    assert status == 2
    assert 'two.pth' in printed.err
    assert '2 classes' in printed.err
    assert '3' in printed.err


@pytest.mark.parametrize('kind', ['missing', 'cut short', 'other names'])
def test_main_with_a_useless_checkpoint_names_it(tested, files, tmp_path, kind):
    path = tmp_path / 'bad.pth'
    if kind == 'cut short':
        path.write_bytes(files[1].read_bytes()[:300])
    elif kind == 'other names':
        torch.save({'state_dict': {'some.weight': torch.zeros(2, 2)}}, path)
    status, printed = tested(checkpoint=path)
    assert status == 2
    assert 'bad.pth' in printed.err
    assert 'Traceback' not in printed.err


def test_hooks_of_training_do_not_end_a_test(tmp_path):
    from openseg_plugin.cli.main import run
    from openseg_plugin.cli.test import main

    hooks = [
        dict(type='EMAHook'),
        dict(type='mmengine.EarlyStoppingHook', monitor='mIoU'),
        dict(type='ProfilerHook'),
    ]
    found = []
    for name, changes in (('plain', {}), ('hooks', dict(custom_hooks=hooks))):
        (tmp_path / name).mkdir()
        files = write_test_set(tmp_path / name, number=2, **changes)
        work = tmp_path / name / 'work'
        assert run(main, [*map(str, files), '--work-dir', str(work)]) == 0
        found.append((work / 'test' / 'metrics.json').read_text())
    assert found[0] == found[1]
