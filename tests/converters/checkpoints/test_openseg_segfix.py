"""SegFix files of other sizes than the published ones, and what is no SegFix file."""

import numpy as np
import pytest
import torch
from in_one_test import in_one_test
from mmengine.config import Config

from openseg_plugin.converters.checkpoints import convert, identify, networks
from openseg_plugin.converters.checkpoints.openseg_segfix import _head
from openseg_plugin.errors import CheckpointError
from openseg_plugin.paths import config_path
from openseg_plugin.registry import MODELS

BACKBONES = {'hrnet': (networks.hrnet, 4), 'hrnet2x': (networks.hrnet2x, 5)}


def published(kind: str, *, width: int, directions: int, channels: int, norm: str) -> dict:
    """A file's entries: zero-filled arrays of the network's shapes under openseg's names."""
    backbone, branches = BACKBONES[kind]
    model_type = {'hrnet': 'HRNet', 'hrnet2x': 'HRNet2x'}[kind]
    with torch.device('meta'):
        model = MODELS.build(
            dict(
                type='openseg_plugin.SegFix',
                backbone=dict(type=f'openseg_plugin.{model_type}', width=width),
                decode_head=dict(
                    type='openseg_plugin.SegFixHead',
                    in_channels=[width * 2**i for i in range(branches)],
                    channels=channels,
                    num_directions=directions,
                ),
            )
        )
    shapes = {name: tuple(value.shape) for name, value in model.state_dict().items()}
    weights = {}
    for unit in [*backbone('backbone.', 'backbone.'), *_head(norm)]:
        pairs = [(unit.source, unit.target), (unit.source_norm, unit.target_norm)]
        for theirs, ours in pairs:
            for entry in ('weight', 'bias', 'running_mean', 'running_var'):
                if theirs and f'{ours}.{entry}' in shapes:
                    weights[f'module.{theirs}.{entry}'] = np.zeros(
                        shapes[f'{ours}.{entry}'], np.float32
                    )
    return weights


@pytest.mark.slow
@in_one_test('norm', ['', '.0'], ids=['iabn', 'bn'])
@in_one_test(
    ('kind', 'width', 'directions', 'channels'),
    [('hrnet', 48, 8, 256), ('hrnet2x', 20, 8, 256), ('hrnet', 4, 16, 8), ('hrnet2x', 4, 4, 8)],
)
def test_file_fits_the_config_it_names(kind, width, directions, channels, norm):
    weights = published(kind, width=width, directions=directions, channels=channels, norm=norm)
    conversion = convert(weights)
    assert str(conversion.source) == f'segfix_{kind} of openseg'
    assert conversion.backbone == f'{kind}{width}'
    assert conversion.num_classes == directions
    assert conversion.has_leaky_head == (norm == '')
    cfg = Config.fromfile(config_path(conversion.config))
    cfg.merge_from_dict(dict(conversion.cfg_options))
    with torch.device('meta'):
        model = MODELS.build(cfg.model)
    expected = {name: tuple(value.shape) for name, value in model.state_dict().items()}
    assert {k: tuple(v.shape) for k, v in conversion.state_dict.items()} == expected


def test_missing_entry_is_listed():
    weights = published('hrnet2x', width=2, directions=8, channels=4, norm='')
    weights.pop('module.dir_head.2.weight')
    with pytest.raises(CheckpointError, match=r'dir_head\.2\.weight'):
        convert(weights)


def test_a_third_head_is_not_taken_for_segfix():
    weights = published('hrnet2x', width=2, directions=8, channels=4, norm='')
    weights['module.energy_head.0.weight'] = np.zeros(1)
    assert identify(weights) is None


def test_imagenet_file_of_hrnet2x_is_a_backbone_without_its_classifier():
    weights = published('hrnet2x', width=20, directions=8, channels=4, norm='')
    start = 'module.backbone.'
    backbone = {k.removeprefix(start): v for k, v in weights.items() if k.startswith(start)}
    conversion = convert(backbone | {'classifier.weight': np.zeros((1000, 8))})
    assert conversion.is_backbone
    assert conversion.backbone == 'hrnet2x20'
    assert list(conversion.dropped) == ['classifier.weight']
    assert backbone.keys() <= conversion.state_dict.keys()
