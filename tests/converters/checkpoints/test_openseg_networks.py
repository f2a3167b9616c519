"""Every registered network of openseg, in both layouts and in other sizes.

The files are made from our own model by the tables read backwards, so what is tested here is that
a table fills its config's model to the last entry. That the names are openseg's is tested against
its own results in tests/parity.
"""

import json
import shlex
from collections.abc import Mapping
from functools import cache

import numpy as np
import pytest
import torch
from in_one_test import in_one_test
from mmengine.config import Config
from mmengine.registry import init_default_scope

from openseg_plugin.cli.test import build_parser
from openseg_plugin.converters.checkpoints import convert, identify, networks, openseg
from openseg_plugin.converters.checkpoints.keys import Bias
from openseg_plugin.engine.runner import testing
from openseg_plugin.errors import CheckpointError
from openseg_plugin.paths import config_path
from openseg_plugin.registry import MODELS

NETWORKS = openseg.NETWORKS
SAME_WEIGHTS = {
    'ideal_spatial_ocrnet': 'spatial_ocrnet',
    'ideal_spatial_ocrnet_c': 'spatial_ocrnet',
    'ideal_gather_ocrnet': 'spatial_ocrnet',
    'ideal_distribute_ocrnet': 'spatial_ocrnet',
    'ce2p_ideal_ocrnet': 'ce2p_ocrnet',
}
LAYOUTS = {'.0': 'batchnorm', '': 'inplace_abn'}
OTHER = {'model.backbone.depth': 50}
QUICK = ('asp_ocnet', 'isanet', 'ce2p_asp_ocrnet', 'ideal_spatial_ocrnet_b')  # others: --slow


def networks_of(*backbones: str) -> pytest.MarkDecorator:
    """Parametrisation over the networks on these backbones."""
    return pytest.mark.parametrize(
        'name',
        [
            pytest.param(name, marks=[] if name in QUICK else [pytest.mark.slow])
            for name, network in NETWORKS.items()
            if network.backbone in backbones
        ],
    )


every_network = networks_of('hrnet', 'resnet')
every_layout = in_one_test('norm', LAYOUTS, ids=LAYOUTS.values())


def shapes_of(config: str, options: Mapping) -> dict[str, tuple[int, ...]]:
    """Shapes of all entries of a config's model."""
    return _shapes_of(config, json.dumps(options, sort_keys=True))


@cache
def _shapes_of(config: str, options: str) -> dict[str, tuple[int, ...]]:
    init_default_scope('mmseg')
    cfg = Config.fromfile(config_path(config))
    cfg.merge_from_dict(json.loads(options))
    with torch.device('meta'):
        model = MODELS.build(cfg.model)
    return {name: tuple(value.shape) for name, value in model.state_dict().items()}


def classes_options(name: str, num_classes: int) -> dict:
    """Options that change the number of classes of a network's config."""
    options = {f'model.{loss}.class_weight': None for loss in NETWORKS[name].losses}
    parts = {loss.split('.')[0] for loss in NETWORKS[name].losses}
    return options | {f'model.{part}.num_classes': num_classes for part in parts}


def file_of(name: str, norm: str, *, options: Mapping, depth: int = 101, stages: int = 1) -> dict:
    """A file of this network as openseg saves it, made of ones."""
    network = NETWORKS[name]
    extra = {f'model.{option}': value for option, value in network.options.items()}
    shapes = shapes_of(network.config.format('bgr'), {**extra, **options})
    if network.backbone == 'hrnet':
        backbone = networks.hrnet('backbone.', 'backbone.')
    else:
        backbone = networks.resnet(
            'backbone.', 'backbone.', depth=depth, stem=networks.STEM_RESINIT
        )
    head = network.units(norm, stages) if name == 'isanet' else network.units(norm)
    weights = {}
    for unit in [*backbone, *head]:
        weights[f'{unit.source}.weight'] = shapes[f'{unit.target}.weight']
        if unit.bias is Bias.KEEP:
            weights[f'{unit.source}.bias'] = shapes[f'{unit.target}.bias']
        if unit.source_norm:
            entries = ['weight', 'bias', 'running_mean', 'running_var']
            entries += ['num_batches_tracked'] * bool(norm)
            for entry in entries:
                weights[f'{unit.source_norm}.{entry}'] = shapes[f'{unit.target_norm}.{entry}']
    one = np.float32(1)
    return {f'module.{key}': np.broadcast_to(one, shape) for key, shape in weights.items()}


def assert_fills_its_config(conversion) -> None:
    found = {name: tuple(value.shape) for name, value in conversion.state_dict.items()}
    assert found == shapes_of(conversion.config, conversion.cfg_options)


@every_network
@every_layout
def test_file_is_recognized_and_fills_the_model_of_its_config(name, norm):
    weights = file_of(name, norm, options={})
    assert identify(weights).network == SAME_WEIGHTS.get(name, name)
    conversion = openseg.convert(weights, name)
    assert conversion.norm_layout == LAYOUTS[norm]
    assert conversion.has_leaky_head is (norm == '')
    assert conversion.config.startswith(f'{conversion.method}/')
    assert_fills_its_config(conversion)


@every_network
@in_one_test('num_classes', [2, 20])
def test_other_number_of_classes_is_named_in_the_options(name, num_classes):
    weights = file_of(name, '', options=classes_options(name, num_classes))
    conversion = openseg.convert(weights, name)
    assert conversion.num_classes == num_classes
    assert_fills_its_config(conversion)


@networks_of('resnet')
def test_resnet50_is_named_in_the_options(name):
    weights = file_of(name, '.0', options=OTHER, depth=50)
    conversion = openseg.convert(weights, name)
    assert conversion.backbone == 'resnet50'
    assert_fills_its_config(conversion)


@in_one_test('stages', [1, 2, 3])
@every_layout
def test_isanet_has_as_many_windows_as_attentions(stages, norm):
    windows = [[8, 8]] * stages
    options = {'model.decode_head.windows': windows}
    conversion = convert(file_of('isanet', norm, options=options, stages=stages))
    assert conversion.source.network == 'isanet'
    found = conversion.cfg_options.get('model.decode_head.windows', [[8, 8]])
    assert found == [[8, 8], [4, 4], [2, 2]][:stages]
    assert_fills_its_config(conversion)


def test_resnet_for_lip_is_fed_with_its_own_mean():
    lip_mean = 104.00698793
    weights = file_of('isanet', '', options=classes_options('isanet', 20))
    conversion = convert(weights)
    assert conversion.preprocessing.mean[0] == lip_mean
    assert conversion.cfg_options['model.data_preprocessor.mean'][0] == lip_mean
    assert (
        'model.data_preprocessor.mean'
        not in convert(file_of('ce2p_ocrnet', '', options={})).cfg_options
    )


@pytest.mark.parametrize('name', ['asp_ocnet', 'isanet', 'ce2p_asp_ocrnet', 'hrnet_w48_asp_ocr'])
def test_missing_and_unknown_entries_are_listed_together(name):
    weights = file_of(name, '', options={})
    lost = next(key for key in weights if 'backbone' not in key)
    del weights[lost]
    weights['module.cls_of_another.weight'] = np.ones((3, 3), 'float32')
    with pytest.raises(CheckpointError, match=r'cls_of_another.weight.*missing') as raised:
        convert(weights)
    assert lost.removeprefix('module.') in str(raised.value)


@pytest.mark.parametrize(
    'num_classes, stages, data',
    [(20, 1, 'LIP'), (59, 1, 'PascalContext'), (150, 1, 'ADE20K'), (19, 2, 'Cityscapes')],
)
def test_printed_command_tests_on_the_data_of_these_classes(num_classes, stages, data, tmp_path):
    options = classes_options('isanet', num_classes)
    options |= {'model.decode_head.windows': [[8, 8]] * stages}
    conversion = convert(file_of('isanet', '.0', options=options, stages=stages))
    weights = tmp_path / 'weights.pth'
    weights.touch()
    words = shlex.split(conversion.command_with(str(weights)))
    cfg = testing.testing_config(build_parser().parse_args(words))
    assert cfg.model.decode_head.num_classes == num_classes
    assert cfg.test_dataloader.dataset.type == f'openseg_plugin.{data}Dataset'
    assert len(cfg.model.decode_head.windows) == stages
