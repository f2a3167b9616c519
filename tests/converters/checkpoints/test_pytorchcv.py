"""pytorch-cv's networks in every combination of its options; tests/parity compares numbers."""

import numpy as np
import pytest
import torch
from in_one_test import in_one_test
from mmengine.config import Config

from openseg_plugin.converters.checkpoints import convert, identify
from openseg_plugin.converters.checkpoints import pytorchcv as zoo
from openseg_plugin.converters.checkpoints.keys import Bias, Entry
from openseg_plugin.converters.checkpoints.pytorchcv import NETWORKS
from openseg_plugin.errors import CheckpointError
from openseg_plugin.paths import config_path
from openseg_plugin.registry import MODELS

NORM = ('weight', 'bias', 'running_mean', 'running_var', 'num_batches_tracked')


def names_in_the_zoo(network, *, depth, jpu, auxiliary, branches=False):
    """Names in the file -> names here, without OCNet's second names."""
    kind = zoo.Backbone(depth) if depth != zoo.SMALL else zoo.Backbone(depth, 64, is_deep=False)
    units = [*zoo.backbone(kind, is_part=network == 'bisenet'), *NETWORKS[network][2]()]
    units += [*zoo.jpu()] * jpu + [*zoo.auxiliary_head()] * auxiliary
    units += [*zoo.da_branch_outputs()] * branches
    names = {}
    for unit in units:
        if isinstance(unit, Entry):
            names[unit.source] = unit.target
            continue
        names[f'{unit.source}.weight'] = f'{unit.target}.weight'
        if unit.bias is Bias.KEEP:
            names[f'{unit.source}.bias'] = f'{unit.target}.bias'
        for part in NORM if unit.source_norm else ():
            names[f'{unit.source_norm}.{part}'] = f'{unit.target_norm}.{part}'
    return names


def file_of(network, classes=7, *, depth, jpu, auxiliary, **others):
    """Zeros under pytorch-cv's names in the shapes of the config that should fit."""
    conversion_names = names_in_the_zoo(
        network, depth=depth, jpu=jpu, auxiliary=auxiliary, **others
    )
    kind = 'r18_pytorchcv' if network == 'bisenet' else 'r101_pytorchcv_jpu'
    cfg = Config.fromfile(config_path(f'{NETWORKS[network][0]}/{kind}_voc_50e.py'))
    options = {'model.decode_head.num_classes': classes}
    if network == 'bisenet':
        options |= {f'model.auxiliary_head.{i}.num_classes': classes for i in (0, 1)}
    else:
        options |= {'model.backbone.depth': depth, 'model.auxiliary_head.num_classes': classes}
    if others.get('branches'):
        options['model.decode_head.with_branch_outputs'] = True
    cfg.merge_from_dict(options)
    with torch.device('meta'):
        shapes = {k: v.shape for k, v in MODELS.build(cfg.model).state_dict().items()}
    zero = torch.zeros(())
    weights = {theirs: zero.expand(shapes[ours]) for theirs, ours in conversion_names.items()}
    return {k: v.reshape(1) if k.endswith('gamma') else v for k, v in weights.items()}


CASES = [
    ('fcn', dict(depth=152, jpu=True, auxiliary=True)),
    ('psp', dict(depth=50, jpu=False, auxiliary=False)),
    ('deeplab', dict(depth=101, jpu=True, auxiliary=False)),
    ('danet', dict(depth=50, jpu=False, auxiliary=True)),
    ('danet', dict(depth=101, jpu=True, auxiliary=False, branches=True)),
    ('ccnet', dict(depth=152, jpu=False, auxiliary=True)),
    ('ocnet_base', dict(depth=50, jpu=True, auxiliary=False)),
    ('ocnet_asp', dict(depth=101, jpu=False, auxiliary=True)),
    ('bisenet', dict(depth=18, jpu=False, auxiliary=False)),
]


@pytest.mark.slow
@in_one_test('classes', [7, 19, 21])
@in_one_test(('network', 'options'), CASES, ids=[f'{n}-{i}' for i, (n, _) in enumerate(CASES)])
def test_conversion_fits_the_config_that_it_names(network, options, classes):
    conversion = convert(file_of(network, classes, **options))
    assert (conversion.source.name, conversion.source.network) == ('pytorchcv', network)
    assert conversion.num_classes == classes
    assert conversion.backbone == f'resnet{options["depth"]}'
    assert ('cityscapes' in conversion.config) is (
        classes == 19 and network in ('fcn', 'psp', 'deeplab', 'ocnet_base')
    )
    cfg = Config.fromfile(config_path(conversion.config))
    cfg.merge_from_dict(dict(conversion.cfg_options))
    with torch.device('meta'):
        model = MODELS.build(cfg.model)
    shapes = {name: value.shape for name, value in model.state_dict().items()}
    assert {name: value.shape for name, value in conversion.state_dict.items()} == shapes
    assert model.with_neck is options['jpu']
    if network != 'bisenet':
        assert model.backbone.strides == ((1, 2, 2, 2) if options['jpu'] else (1, 2, 1, 1))


def test_psp_without_jpu_on_voc_is_the_published_dilated_leaf():
    conversion = convert(file_of('psp', 21, depth=101, jpu=False, auxiliary=True))
    assert conversion.config == 'pspnet/r101_pytorchcv_dilated_voc_50e.py'


def test_names_with_the_prefix_of_a_parallel_module_are_known_too():
    weights = file_of('fcn', depth=50, jpu=False, auxiliary=True)
    prefixed = {f'module.{name}': value for name, value in weights.items()}
    assert convert(prefixed).state_dict.keys() == convert(weights).state_dict.keys()


@pytest.mark.parametrize(
    'missing', ['head.sa.gamma', 'head.conv52.1.bias', 'base2.5.bn2.running_var']
)
def test_missing_entry_is_named(missing):
    weights = file_of('danet', depth=50, jpu=False, auxiliary=True)
    del weights[missing]
    with pytest.raises(CheckpointError, match=missing.replace('.', r'\.')):
        convert(weights)


def test_gammas_are_listed_with_everything_else_that_is_missing():
    weights = file_of('danet', depth=50, jpu=False, auxiliary=True)
    missing = ['head.sa.gamma', 'head.sc.gamma', 'base3.2.bn1.bias']
    weights = {name: value for name, value in weights.items() if name not in missing}
    with pytest.raises(CheckpointError, match=r'3 entries are missing') as caught:
        convert(weights)
    assert all(str(caught.value).count(name) == 1 for name in missing)


def test_entry_without_a_place_is_named():
    weights = file_of('fcn', depth=50, jpu=False, auxiliary=True)
    weights['head.block.9.weight'] = torch.zeros(1)
    with pytest.raises(CheckpointError, match=r'head\.block\.9\.weight'):
        convert(weights)


def test_second_name_of_ocnets_query_wins():
    weights = file_of('ocnet_base', depth=50, jpu=False, auxiliary=False)
    query = 'context.3.stages.0.f_query.0.weight'
    weights[query] = torch.ones(weights[query].shape)
    for name in [name for name in weights if '.f_query.' in name]:
        weights[name.replace('.f_query.', '.f_key.')] = torch.zeros(weights[name].shape)
    conversion = convert(weights)
    assert conversion.state_dict['decode_head.self_attention.key_project.0.conv.weight'].all()
    assert all('.f_key.' in name for name in conversion.dropped)


@pytest.mark.parametrize('kind', [np.asarray, torch.as_tensor])
def test_mean_of_the_image_moves_in_front_of_aspps_branches(kind):
    weights = file_of('deeplab', depth=50, jpu=False, auxiliary=False)
    joined = 'head.aspp.project.0.weight'
    numbers = np.arange(1280, dtype='float32').reshape(1, -1, 1, 1).repeat(256, axis=0)
    converted = convert({**weights, joined: kind(numbers)}).state_dict
    first = np.asarray(converted['decode_head.projection.0.conv.weight'])[0, :, 0, 0]
    assert first.tolist() == [*range(1024, 1280), *range(1024)]


def test_a_plain_resnet_is_not_of_the_zoo():
    assert identify({'base1.0.weight': np.zeros((64, 3, 7, 7))}) is None
