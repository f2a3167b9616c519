"""The config inside a file: the same data again, and nothing of it evaluated."""

import json

import numpy as np
import pytest
import torch
from in_one_test import in_one_test
from mmengine.config import Config

from openseg_plugin.config.loading import load_config
from openseg_plugin.converters.checkpoints import read_checkpoint, write_checkpoint
from openseg_plugin.converters.checkpoints.stored_config import (
    STORED_CONFIG,
    as_data,
    config_text,
    from_data,
    parse_text,
    stored_config,
)
from openseg_plugin.errors import CheckpointError
from openseg_plugin.paths import configs_root
from openseg_plugin.registry import MODELS

CONFIG = {
    'size': (512, 1024),
    'nested': [{'a': (1, (2.5, None))}, True],
    'by_number': {0: 'road', 255: 'void'},
    'limit': float('inf'),
    'words': 'it\'s "quoted"\n',
}


@pytest.mark.parametrize('suffix', ['.pth', '.safetensors'])
def test_config_in_a_file_comes_back_as_it_was(tmp_path, suffix):
    meta = {STORED_CONFIG: as_data(CONFIG)}
    write_checkpoint({'state_dict': {'w': torch.ones(1)}, 'meta': meta}, tmp_path / f'w{suffix}')
    assert stored_config(read_checkpoint(tmp_path / f'w{suffix}')) == CONFIG
    assert json.loads(json.dumps(as_data(CONFIG))) == as_data(CONFIG)


def test_what_json_does_not_know_becomes_its_text_or_name():
    assert as_data({'f': np.float32(0.5), 'c': torch.nn.ReLU, 'd': torch.float16}) == {
        'f': 0.5,
        'c': 'torch.nn.modules.activation.ReLU',
        'd': 'torch.float16',
    }
    assert from_data(as_data({'a': np.arange(2)})) == {'a': [0, 1]}


@pytest.mark.parametrize('name', ['ocr/hrnet48_cityscapes_80k.py', 'segfix'])
def test_shipped_config_passes_as_data_and_as_the_text_that_mmengine_writes(name):
    if name == 'segfix':
        name = str(next((configs_root() / 'segfix').glob('*.py')).relative_to(configs_root()))
    cfg = load_config(name)
    cfg.model.backbone.pop('init_cfg', None)  # names a file
    plain = json.loads(json.dumps(cfg.to_dict(), default=str))
    for meta in ({STORED_CONFIG: as_data(cfg.to_dict())}, {'cfg': cfg.pretty_text}):
        found = stored_config({'meta': meta})
        assert json.loads(json.dumps(found['model'])) == plain['model']
        assert 'custom_imports' not in found and 'load_from' not in found
        assert Config(found).model.decode_head.type == cfg.model.decode_head.type


def test_text_of_a_config_is_what_mmengine_reads(tmp_path):
    (tmp_path / 'c.py').write_text(config_text({**CONFIG, 'limit': 1e9}))
    assert Config.fromfile(tmp_path / 'c.py').to_dict() == {**CONFIG, 'limit': 1e9}


@in_one_test(
    'text',
    [
        'a = __import__("os")',
        'import os',
        'a = [x for x in range(9)]',
        'a = dict(**{"b": open("x")})',
        'a.b = 1',
        'a = f"{1}"',
        'def f(): pass',
        'a = ' + '[' * 5000,
    ],
)
def test_text_that_is_more_than_data_is_left_alone(text):
    with pytest.raises((ValueError, SyntaxError, MemoryError, RecursionError)):
        parse_text(text)
    assert stored_config({'meta': {'cfg': text}}) is None


@in_one_test(
    ('key', 'name'),
    [
        ('type', 'subprocess.check_output'),
        ('type', 'os'),
        ('type', 'mmengine.fileio.load'),
        ('type', 'torch.hub.load'),
        ('constructor', 'builtins.eval'),
        ('ema_type', 'os.system'),
        ('_scope_', 'my_package'),
        ('default_scope', 'my_package'),
    ],
)
def test_name_of_what_no_registry_has_is_refused(key, name):
    with pytest.raises(CheckpointError, match=name):
        stored_config({'meta': {STORED_CONFIG: {'model': [{'a': {key: name}}]}}})


@in_one_test(
    ('key', 'name'),
    [
        ('type', 'mmseg.EncoderDecoder'),
        ('type', 'SyncBN'),
        ('type', 'openseg_plugin.OCRHead'),
        ('type', 'mmseg.models.segmentors.encoder_decoder.EncoderDecoder'),
        ('fusion_type', 'sum'),
        ('constructor', 'DefaultOptimWrapperConstructor'),
        ('default_scope', 'mmseg'),
    ],
)
def test_registered_names_are_accepted(key, name):
    assert stored_config({'meta': {STORED_CONFIG: {'model': {key: name}}}}) is not None


def test_further_files_are_left_out_and_models_from_elsewhere_refused():
    backbone = {
        'init_cfg': {'type': 'Pretrained', 'checkpoint': 'http://x/evil.pth'},
        'pretrained': True,
        'checkpoint_path': 'evil.pth',
        'depth': 18,
    }
    config = {'model': {'backbone': backbone, 'pretrained': None}, 'load_from': 'evil.pth'}
    found = stored_config({'meta': {STORED_CONFIG: config}})
    assert found == {'model': {'backbone': {'depth': 18}, 'pretrained': None}}
    backbone['model_name'] = 'hf-hub:somebody/model'
    with pytest.raises(CheckpointError, match='hf-hub:somebody/model'):
        stored_config({'meta': {STORED_CONFIG: config}})


def test_class_of_another_registry_is_not_built_in_place_of_a_model(tmp_path):
    """By its path mmengine would build it, and a metric or a runner makes folders."""
    place = str(tmp_path / 'made')
    metric = 'mmseg.evaluation.metrics.iou_metric.IoUMetric'
    runner = 'mmengine.runner.runner.Runner'
    for config in ({'type': metric, 'output_dir': place}, {'type': runner, 'work_dir': place}):
        (built,) = stored_config({'meta': {STORED_CONFIG: {'model': [config]}}})['model']
        scope, name = config['type'].split('.')[0], config['type'].rpartition('.')[2]
        assert built == {'type': f'{scope}.{name}'}
        with pytest.raises(KeyError):
            MODELS.build(built)
    assert not (tmp_path / 'made').exists()
    path = 'mmseg.models.segmentors.encoder_decoder.EncoderDecoder'
    found = stored_config({'meta': {STORED_CONFIG: {'model': {'type': path}}}})
    assert MODELS.get(found['model']['type']).__name__ == 'EncoderDecoder'


def test_places_to_write_to_and_what_tells_others_are_left_out():
    """mmseg's CityscapesMetric deletes its output_dir when it is done."""
    evaluator = [{'type': 'CityscapesMetric', 'output_dir': '/home/me'}, {'type': 'IoUMetric'}]
    hooks = [{'type': 'ProfilerHook', 'json_trace_path': '/home/me/.profile', 'interval': 2}]
    config = {
        'test_evaluator': evaluator,
        'custom_hooks': hooks,
        'visualizer': {'type': 'Visualizer', 'vis_backends': [{'type': 'WandbVisBackend'}]},
        'work_dir': '/home/me',
    }
    assert stored_config({'meta': {STORED_CONFIG: config}}) == {
        'test_evaluator': [{'type': 'CityscapesMetric'}, {'type': 'IoUMetric'}],
        'custom_hooks': [{'type': 'ProfilerHook', 'interval': 2}],
        'visualizer': {'type': 'Visualizer'},
    }
