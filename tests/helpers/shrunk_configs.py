"""Whole configs made small enough to train an iteration in about a second on tiny data."""

import os
from pathlib import Path
from unittest import mock

import torch
from mmengine.config import Config
from small_models import with_stand_in_backbone

from openseg_plugin.registry import MODELS

_ROOT = '@DATA_ROOT@'  # stays a variable in the written config
SIDE = 64  # pixels of crops and short sides


def shrunk(config: Path, target: Path) -> Path:
    """Writes ``config`` to ``target``: small crops, one iteration, and a stand-in for a backbone
    that would start from published weights."""
    with mock.patch.dict(os.environ, DATA_ROOT=_ROOT):
        cfg = Config.fromfile(config)
    if cfg.model.backbone.get('init_cfg'):
        cfg.model = with_stand_in_backbone(cfg.model)
    cfg.model.data_preprocessor.size = (SIDE, SIDE)
    cfg.train_cfg.pop('max_epochs', None)
    cfg.train_cfg.update(max_iters=1, val_interval=1)
    cfg.default_hooks.checkpoint.update(interval=1)
    cfg.default_hooks.logger.interval = 1
    cfg.default_hooks.pop('curves', None)  # drawing takes longer than the iteration
    for loader in (cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader):
        loader.update(num_workers=0, persistent_workers=False)
        _shrink_pipelines(loader.dataset)
    cfg.train_dataloader.batch_size = 2
    if 'coarse_ratio' in cfg.train_dataloader.sampler:  # stored trees have few coarse images
        cfg.train_dataloader.sampler.coarse_ratio = 0.5
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(cfg.pretty_text.replace(_ROOT, '{{$DATA_ROOT:data}}'), encoding='utf-8')
    return target


def _shrink_pipelines(dataset: dict) -> None:
    for part in dataset.get('datasets', [dataset]):
        for transform in part.pipeline:
            for key in transform.keys() & {'crop_size', 'size'}:
                if not transform.get('as_original'):  # the size of the labels
                    transform[key] = (SIDE, SIDE)
            if 'length' in transform:
                transform['length'] = SIDE


def write_weights(config: Path, target: Path) -> Path:
    """Writes random weights of the model of ``config`` to ``target``."""
    model = MODELS.build(Config.fromfile(config).model)
    torch.save({'state_dict': model.state_dict(), 'meta': {}}, target)
    return target
