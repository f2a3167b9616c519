"""Options of a training: each changes the run as it says, also after ``--resume``."""

import os
from types import SimpleNamespace

import pytest
import torch
import toy_run

from openseg_plugin.cli.main import run
from openseg_plugin.cli.parser import ArgumentParser, duration
from openseg_plugin.cli.train import parse
from openseg_plugin.converters.checkpoints.stored_config import stored_config
from openseg_plugin.engine.runner import batch_size, training
from openseg_plugin.errors import CheckpointError, ConfigError, DependencyError
from openseg_plugin.inference import models
from openseg_plugin.models import prepared

AT_ONCE = "custom_hooks=[dict(type='openseg_plugin.MaxTimeHook', seconds=1e-6)]"


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    return toy_run.write_data(tmp_path_factory.mktemp('data'), number=4)


@pytest.fixture
def config(tmp_path, data, monkeypatch):
    monkeypatch.chdir(toy_run.ROOT)
    return toy_run.toy_config(tmp_path, data, train_cfg=dict(max_iters=4, val_interval=2))


def config_of(config, *arguments: str):
    args = parse([str(config), *arguments])
    cfg = training.training_config(args)
    training._set_batch_size(cfg, args.batch_size)
    return cfg


def test_run_whose_time_is_up_goes_on_with_resume_and_ends_as_one_run(config, tmp_path, capsys):
    options = ['--ema', '--accumulate', '2']
    assert toy_run.train(config, tmp_path / 'whole', *options) == 0
    assert 'the time is up' not in capsys.readouterr().out
    assert toy_run.train(config, tmp_path / 'cut', *options, AT_ONCE) == 0
    assert 'iteration 1 of 4 is saved' in capsys.readouterr().out
    assert toy_run.train(config, tmp_path / 'cut', *options, '--resume') == 0
    first, second = (toy_run.last_checkpoint(tmp_path / name) for name in ('whole', 'cut'))
    toy_run.assert_same_state(first, second)
    for name, value in first['ema_state_dict'].items():
        assert torch.equal(value, second['ema_state_dict'][name]), name


def test_frozen_part_stays_as_it_was_loaded(config, tmp_path):
    assert toy_run.train(config, tmp_path / 'first') == 0
    start = (tmp_path / 'first/last_checkpoint').read_text()
    options = ['--load-from', start, '--freeze', 'backbone']
    assert toy_run.train(config, tmp_path / 'second', *options) == 0
    states = (toy_run.last_checkpoint(tmp_path / name) for name in ('first', 'second'))
    first, second = (one['state_dict'] for one in states)
    for name, value in first.items():
        assert torch.equal(value, second[name]) is name.startswith('backbone'), name


def test_early_stop_counts_validations_across_a_resume_and_saves(config, tmp_path, capsys):
    # nothing changes: the first validation is the best, the third ends the training
    still = ['optim_wrapper.optimizer.lr=1e-12', 'model.norm=False']
    still += ['train_cfg.val_interval=1', 'train_cfg.max_iters=9']
    until = ['--early-stop', '2']
    assert toy_run.train(config, tmp_path / 'run', *until, *still, AT_ONCE) == 0
    assert toy_run.train(config, tmp_path / 'run', *until, '--resume', *still, AT_ONCE) == 0
    assert toy_run.train(config, tmp_path / 'run', *until, '--resume', *still) == 0
    assert 'the training ends early' in capsys.readouterr().out
    assert toy_run.last_checkpoint(tmp_path / 'run')['meta']['iter'] == 3


def test_learning_rate_follows_the_batch_size_as_the_config_says(config):
    rate = 'auto_scale_lr.base_batch_size=16'
    assert config_of(config).get('auto_scale_lr') is None
    cfg = config_of(config, '--batch-size', '6')
    assert cfg.train_dataloader.batch_size == 6
    assert cfg.auto_scale_lr == dict(enable=True, base_batch_size=2)
    cfg = config_of(config, '--batch-size', '6', '--cfg-options', rate)
    assert cfg.auto_scale_lr == dict(enable=True, base_batch_size=16)


def test_resumed_run_keeps_the_batch_size_that_auto_found(config, tmp_path, monkeypatch, capsys):
    for found in (1, 2):  # more would fit by the time of the resume
        monkeypatch.setattr(training, 'largest_batch', lambda cfg, size=found: size)
        options = ['--batch-size', 'auto', '--resume']
        assert toy_run.train(config, tmp_path / 'run', *options, AT_ONCE) == 0
    saved = toy_run.last_checkpoint(tmp_path / 'run')
    assert saved['meta']['iter'] == 2
    assert stored_config(saved)['train_dataloader']['batch_size'] == 1
    assert capsys.readouterr().out.count('batch size 1: the learning rate, for 2 images') == 2


def test_largest_batch_follows_the_memory_and_leaves_random_states_alone(config, monkeypatch):
    cfg = config_of(config)
    monkeypatch.setattr(batch_size._Trial, 'most', 40)
    before = torch.get_rng_state()
    found = {}
    for images in (2**20, 2**22, 2**40):
        monkeypatch.setattr(batch_size, 'free_memory', lambda device, size=images: size)
        found[images] = batch_size.largest_batch(cfg)
    assert 2 <= found[2**20] < found[2**22] <= found[2**40] == 40
    assert torch.equal(before, torch.get_rng_state())


class FakeGpu:
    """Memory of a GPU: what the network takes, what each image takes, what more images take."""

    def __init__(self, monkeypatch, *, total: int, network: int, image: int, bend: float = 0):
        self.total, self.network, self.image, self.bend = total, network, image, bend
        self.reserved, self.tried = 0, []
        cuda = torch.cuda
        monkeypatch.setattr(cuda, 'empty_cache', lambda: None)
        monkeypatch.setattr(cuda, 'reset_peak_memory_stats', lambda device: None)
        monkeypatch.setattr(cuda, 'max_memory_reserved', lambda device: self.reserved)
        monkeypatch.setattr(cuda, 'memory_reserved', lambda device: self.reserved)
        monkeypatch.setattr(cuda, 'mem_get_info', lambda device: (total - self.reserved, total))
        self.trial = object.__new__(batch_size._Trial)
        self.trial.device, self.trial.images = torch.device('cuda'), 1000
        self.trial.wrapper = SimpleNamespace(zero_grad=lambda: None)
        self.trial._iterate = self.iterate

    def needed(self, images: int) -> int:
        return int(self.network + self.image * images + self.bend * images**2)

    def iterate(self, images: int) -> None:
        self.tried.append(images)
        if self.needed(images) > self.total:
            raise torch.OutOfMemoryError('out of memory')
        self.reserved = self.needed(images)


def test_largest_batch_of_a_gpu_leaves_a_tenth_free_and_was_tried(monkeypatch):
    gpu = FakeGpu(monkeypatch, total=10_000, network=1000, image=300)
    assert gpu.trial.largest() == (9000 - 1000) // 300 == 26
    assert gpu.tried == [2, 4, 26]
    bent = FakeGpu(monkeypatch, total=10_000, network=1000, image=300, bend=10)
    found = bent.trial.largest()
    assert bent.needed(found) <= 10_000 and bent.tried[-1] == found > 4
    small = FakeGpu(monkeypatch, total=1900, network=1000, image=300)
    assert small.trial.largest() == 2
    with pytest.raises(ConfigError, match=r'--batch-size auto: .* --amp'):
        FakeGpu(monkeypatch, total=1500, network=1000, image=300).trial.largest()
    many = FakeGpu(monkeypatch, total=10**9, network=1000, image=300)
    assert many.trial.largest() == batch_size.MOST


@pytest.mark.parametrize('option', ['tensorboard', 'wandb', 'mlflow'])
def test_tracker_is_a_backend_or_one_sentence_with_the_pip_line(config, monkeypatch, option):
    monkeypatch.setattr(training.importlib.util, 'find_spec', lambda name: None)
    with pytest.raises(DependencyError, match=f'pip install {option}'):
        config_of(config, f'--{option}')
    monkeypatch.setattr(training.importlib.util, 'find_spec', lambda name: name)
    kinds = [one['type'] for one in config_of(config, f'--{option}').visualizer.vis_backends]
    assert kinds[0] == 'LocalVisBackend'
    assert kinds[1].lower() == f'{option}visbackend'
    present = f"visualizer.vis_backends=[dict(type='mmengine.{kinds[1]}')]"
    backends = config_of(config, f'--{option}', '--cfg-options', present).visualizer.vis_backends
    assert len(backends) == 1


def test_mlflow_writes_to_the_server_of_its_variable_or_else_to_files(config, monkeypatch):
    monkeypatch.setattr(training.importlib.util, 'find_spec', lambda name: name)
    monkeypatch.setenv('MLFLOW_ALLOW_FILE_STORE', '')  # so that it is as before afterwards
    monkeypatch.delenv('MLFLOW_ALLOW_FILE_STORE')
    monkeypatch.setenv('MLFLOW_TRACKING_URI', 'http://127.0.0.1:5000')
    backend = config_of(config, '--mlflow').visualizer.vis_backends[1]
    assert backend.tracking_uri == 'http://127.0.0.1:5000'
    assert 'MLFLOW_ALLOW_FILE_STORE' not in os.environ
    monkeypatch.delenv('MLFLOW_TRACKING_URI')
    assert config_of(config, '--mlflow').visualizer.vis_backends[1].tracking_uri is None
    assert os.environ['MLFLOW_ALLOW_FILE_STORE'] == 'true'


def test_weights_to_start_from_may_be_a_name_of_the_model_zoo_or_a_folder(
    config, tmp_path, monkeypatch
):
    entry = SimpleNamespace(name='toy_zoo', file='toy.pth', sha256=None, sha256_start=None)
    monkeypatch.setattr(models, 'entries', lambda: [entry])
    monkeypatch.setattr(models, 'find', lambda name: entry)
    monkeypatch.setenv('OPENSEG_CACHE', str(tmp_path))
    for name in ('toy_zoo/toy.pth', 'folder/model.safetensors'):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_bytes(b'weights')
    for given, file in (('toy_zoo', 'toy_zoo/toy.pth'), ('folder', 'folder/model.safetensors')):
        given = given if given == 'toy_zoo' else str(tmp_path / given)
        assert config_of(config, '--load-from', given).load_from == str(tmp_path / file)


def test_options_that_do_not_fit_are_refused_before_anything_is_built(config, capsys):
    with pytest.raises(CheckpointError, match='no such file'):
        config_of(config, '--load-from', 'nothing.pth')
    with pytest.raises(ConfigError, match='--early-stop needs validations'):
        none = ['val_dataloader=None', 'val_cfg=None', 'val_evaluator=None']
        config_of(config, '--early-stop', '3', '--cfg-options', *none)
    for line in ('--max-time 0', '--max-time soon', '--accumulate 0', '--batch-size many'):
        assert run('openseg_plugin.cli.train', [str(config), *line.split()]) == 2
        assert line.replace(' ', ': ') in capsys.readouterr().err


def test_part_that_the_model_lacks_is_named(config, tmp_path, capsys):
    assert toy_run.train(config, tmp_path / 'run', '--freeze', 'stem') == 2
    assert 'it has data_preprocessor, backbone, decode_head' in capsys.readouterr().err


def test_durations():
    parser = ArgumentParser('Test.')
    parser.add_argument('--time', type=duration)
    texts = {'90': 90, '45s': 45, '30m': 1800, '2h': 7200, '1h30m': 5400, '2d': 172800}
    assert {text: parser.parse_args(['--time', text]).time for text in texts} == texts


@pytest.mark.slow
@pytest.mark.skipif(prepared._compiler() is None, reason='there is no C++ compiler')
def test_compiled_training_gives_the_losses_and_validations_of_a_plain_one(
    config, tmp_path, capsys
):
    values = {}
    for name, options in (('plain', []), ('compiled', ['--compile'])):
        torch._dynamo.utils.counters.clear()
        assert toy_run.train(config, tmp_path / name, *options) == 0
        graphs = torch._dynamo.utils.counters['stats'].get('unique_graphs', 0)
        # the backbone (the head is one of torch's layers), and nothing more for validations
        assert graphs == (1 if options else 0)
        content = toy_run.last_checkpoint(tmp_path / name)
        values[name] = content['state_dict']
    assert values['plain'].keys() == values['compiled'].keys()
    for name, value in values['plain'].items():
        assert torch.allclose(value, values['compiled'][name], rtol=1e-4, atol=1e-5), name


def test_unknown_mode_of_compile_is_refused(config):
    with pytest.raises(ConfigError, match='--compile'):
        parse([str(config), '--compile', 'fastest'])
