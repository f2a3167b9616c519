"""tools/train.py: what the command line adds to a config, and runs of the whole script."""

import json
import os
from fractions import Fraction
from pathlib import Path

import pytest
import torch
import toy_run
from mmengine.config import Config

from openseg_plugin.cli.main import run
from openseg_plugin.cli.train import parse
from openseg_plugin.engine.runner.training import (
    leave_out_replaced_weights,
    set_resume,
    training_config,
)
from openseg_plugin.errors import CheckpointError, ConfigError

LEAF = 'configs/ocr/hrnet48_cityscapes_80k.py'


@pytest.fixture(autouse=True)
def _in_project_with_own_environment(monkeypatch):
    monkeypatch.chdir(toy_run.ROOT)
    monkeypatch.setattr(os, 'environ', os.environ.copy())


@pytest.fixture(scope='module')
def data(tmp_path_factory) -> Path:
    return toy_run.write_data(tmp_path_factory.mktemp('data'), number=4)


def config_of(*arguments: str) -> Config:
    args = parse([LEAF, *arguments])
    cfg = training_config(args)
    set_resume(cfg, args.resume)
    return cfg


def test_config_alone_is_trained_as_it_says():
    cfg = config_of()
    assert cfg.work_dir == 'work_dirs/ocr/hrnet48_cityscapes_80k'
    assert cfg.optim_wrapper.type == 'OptimWrapper'
    assert cfg.randomness.seed == 304
    assert (cfg.resume, cfg.load_from) == (False, None)


@pytest.mark.parametrize(
    ('given', 'expected'),
    [
        ([], 'work_dirs/ocr/hrnet48_cityscapes_80k'),
        (['--cfg-options', 'work_dir=a'], 'a'),
        (['--work-dir', 'b', '--cfg-options', 'work_dir=a'], 'b'),
    ],
)
def test_work_dir_comes_from_command_line_config_or_name(given, expected):
    assert config_of(*given).work_dir == expected


def test_seed_and_determinism():
    cfg = config_of('--seed', '7', '--deterministic')
    assert cfg.randomness == dict(seed=7, deterministic=True)
    assert cfg.env_cfg.cudnn_benchmark is False
    assert os.environ['CUBLAS_WORKSPACE_CONFIG'] == ':4096:8'


@pytest.mark.parametrize(
    ('gpu', 'options', 'kind', 'scale'),
    [
        ((7, 5), (), 'AmpOptimWrapper', 'dynamic'),
        ((8, 0), (), 'openseg_plugin.BFloat16OptimWrapper', None),
        ((8, 0), ('optim_wrapper.loss_scale=512.0',), 'AmpOptimWrapper', 512.0),
        (None, (), 'openseg_plugin.BFloat16OptimWrapper', None),
    ],
    ids=str,
)
def test_amp_suits_the_machine(monkeypatch, gpu, options, kind, scale):
    config_of('--amp')  # imports what the registries know, before torch claims to have a GPU
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: gpu is not None)
    monkeypatch.setattr(torch.cuda, 'get_device_capability', lambda: gpu)
    added = ('--cfg-options', *options) if options else ()
    wrapper = config_of('--amp', *added).optim_wrapper
    assert (wrapper.type, wrapper.get('loss_scale')) == (kind, scale)
    assert wrapper.optimizer.type == 'SGD'


def test_amp_of_a_config_runs_without_a_gpu_too(monkeypatch):
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)
    options = ('optim_wrapper.type=AmpOptimWrapper', 'optim_wrapper.loss_scale=512.0')
    wrapper = config_of('--cfg-options', *options).optim_wrapper
    assert wrapper.type == 'openseg_plugin.BFloat16OptimWrapper'
    assert 'loss_scale' not in wrapper


def test_amp_with_another_wrapper_is_refused():
    with pytest.raises(ConfigError, match='--amp needs'):
        config_of('--amp', '--cfg-options', 'optim_wrapper.type=ApexOptimWrapper')


def test_drop_classifier_reaches_the_model():
    assert config_of('--drop-classifier').model.drop_classifier is True
    assert 'drop_classifier' not in config_of().model


@pytest.mark.parametrize(
    ('options', 'is_read'),
    [
        ([], True),
        (['load_from=a.pth'], False),
        (['load_from=a.pth', 'model.type=EncoderDecoder'], True),  # mmseg's loads what fits
    ],
    ids=str,
)
def test_imagenet_weights_are_read_where_no_whole_network_replaces_them(options, is_read):
    cfg = config_of(*(['--cfg-options', *options] if options else []))
    leave_out_replaced_weights(cfg)
    assert (cfg.model.backbone.init_cfg is not None) is is_read


def test_weights_of_timm_are_not_fetched_where_load_from_replaces_them():
    cfg = config_of('--cfg-options', 'load_from=a.pth')
    cfg.model.backbone = dict(
        type='openseg_plugin.TimmBackbone', model_name='resnet18', pretrained=True
    )
    leave_out_replaced_weights(cfg)
    assert cfg.model.backbone.pretrained is False


def test_resume_alone_starts_afresh_from_load_from_in_an_empty_folder(tmp_path):
    cfg = config_of('--resume', '--work-dir', str(tmp_path), '--cfg-options', 'load_from=a.pth')
    assert (cfg.resume, cfg.load_from) == (False, 'a.pth')


@pytest.mark.parametrize('auto', [['--resume'], ['--resume', 'auto']])
def test_resume_alone_goes_before_load_from_where_there_are_checkpoints(tmp_path, auto):
    (tmp_path / 'iter_5.pth').write_bytes(b'x')
    cfg = config_of(*auto, '--work-dir', str(tmp_path), '--cfg-options', 'load_from=a.pth')
    assert (cfg.resume, cfg.load_from) == (True, None)


def test_resume_with_a_path_takes_that_checkpoint(tmp_path):
    path = tmp_path / 'iter_5.pth'
    with pytest.raises(CheckpointError, match='there is no such checkpoint'):
        config_of('--resume', str(path))
    path.write_bytes(b'x')
    cfg = config_of('--resume', str(path))
    assert (cfg.resume, cfg.load_from) == (True, str(path))


def test_resume_before_the_config_is_understood():
    args = parse(['--resume', LEAF])
    assert (args.config, args.resume) == (LEAF, 'auto')


@pytest.mark.parametrize('key', ['model', 'train_dataloader', 'train_cfg', 'optim_wrapper'])
def test_config_that_cannot_be_trained_names_what_is_missing(tmp_path, key):
    path = tmp_path / 'a.py'
    keys = {'model', 'train_dataloader', 'train_cfg', 'optim_wrapper'} - {key}
    path.write_text('\n'.join(f'{name} = dict(x=1)' for name in keys))
    with pytest.raises(ConfigError, match=f'has no {key}: it cannot be trained'):
        training_config(parse([str(path)]))


def test_data_set_without_a_split_is_trained_without(tmp_path, data):
    config = toy_run.toy_config(tmp_path, data, val_dataloader=None)
    assert toy_run.train(config, tmp_path / 'work', 'default_hooks.checkpoint.save_best=None') == 0
    assert not list((tmp_path / 'work').glob('best_*'))


@pytest.mark.parametrize('option', ['--amp', '--deterministic'])
def test_option_trains_on_this_machine(tmp_path, data, option):
    config = toy_run.toy_config(tmp_path, data)
    assert toy_run.train(config, tmp_path / 'work', option) == 0
    torch.use_deterministic_algorithms(False)


def test_amp_changes_the_losses_a_little(tmp_path, data):
    found = []
    config = toy_run.toy_config(tmp_path, data)
    for name, arguments in (('plain', []), ('amp', ['--amp'])):
        assert toy_run.train(config, tmp_path / name, *arguments) == 0
        (file,) = (tmp_path / name).glob('*/vis_data/scalars.json')
        records = [json.loads(line) for line in file.read_text().splitlines()]
        found.append([record['loss'] for record in records if 'loss' in record])
    assert found[0] != found[1]
    assert found[0] == pytest.approx(found[1], rel=0.05)


@pytest.mark.slow
def test_stock_script_of_mmseg_trains_and_resumes_our_config(tmp_path, data):
    import mmseg

    script = Path(mmseg.__file__).parent / '.mim' / 'tools' / 'train.py'
    config = toy_run.toy_config(tmp_path, data, test_cfg=None)
    work = tmp_path / 'work'
    for steps, more in ((4, []), (8, ['--resume'])):
        options = ['--cfg-options', f'train_cfg.max_iters={steps}']
        process = toy_run.start(script, config, '--work-dir', work, *more, *options)
        output, errors = process.communicate(timeout=240)
        assert process.returncode == 0, output + errors
        assert toy_run.last_checkpoint(work)['meta']['iter'] == steps


def test_trusted_checkpoint_is_read_and_others_are_not(tmp_path, data, capsys):
    config = toy_run.toy_config(tmp_path, data)
    assert toy_run.train(config, tmp_path / 'a') == 0
    checkpoint = torch.load(tmp_path / 'a' / 'iter_8.pth', weights_only=False)
    checkpoint['extra'] = Fraction(1, 2)  # a class that no weights need
    torch.save(checkpoint, tmp_path / 'odd.pth')
    start = f'load_from={tmp_path / "odd.pth"}'
    assert toy_run.train(config, tmp_path / 'b', start) == 2
    assert '--trust-checkpoint reads it anyway' in capsys.readouterr().err
    assert toy_run.train(config, tmp_path / 'b', start, '--trust-checkpoint') == 0


def test_help_is_printed(capsys):
    from openseg_plugin.cli.train import main

    with pytest.raises(SystemExit) as left:
        run(main, ['--help'])
    assert left.value.code == 0
    assert '--resume' in capsys.readouterr().out
