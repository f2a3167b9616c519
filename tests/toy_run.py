"""A training that takes a second: a few small pictures on disk, two convolutions, the real engine.

Used by the tests of the engine, of the tools and of several processes; the configs that
:func:`toy_config` writes can be run by any script, with ``tests`` on ``PYTHONPATH``.
"""

import itertools
import os
import pprint
import subprocess
import sys
from pathlib import Path
from unittest import mock

import numpy as np
import torch
from mmengine.hooks import Hook
from mmengine.model import BaseModel
from mmengine.structures import PixelData
from PIL import Image
from torch import nn

from openseg_plugin.registry import HOOKS, MODELS

CLASSES = ('dark', 'middle', 'bright')
LOADING = [dict(type='LoadImageFromFile'), dict(type='openseg_plugin.LoadLabels')]
ROOT = Path(__file__).parents[1]
_runs = itertools.count()


@MODELS.register_module()
class ToyNet(BaseModel):
    """Convolution, norm, ReLU, dropout, convolution.

    Args:
        norm: with BatchNorm.
        dropout: probability.
        nan_at: step whose loss becomes nan.
        die_at: step that raises.
        bad_rank: the process to which this happens, None for all.
        data_preprocessor: config of the preprocessor.
    """

    def __init__(
        self,
        *,
        norm: bool = True,
        dropout: float = 0.5,
        nan_at: int | None = None,
        die_at: int | None = None,
        bad_rank: int | None = None,
        data_preprocessor: dict | None = None,
    ) -> None:
        super().__init__(data_preprocessor)
        self.backbone = nn.Sequential(
            nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4) if norm else nn.Identity()
        )
        self.decode_head = nn.Conv2d(4, len(CLASSES), 1)
        self.dropout = dropout
        self.nan_at = nan_at
        self.die_at = die_at
        self.is_bad = bad_rank in (None, int(os.environ.get('RANK', '0')))
        self.steps = 0

    def forward(self, inputs: torch.Tensor, data_samples: list | None = None, mode: str = 'tensor'):
        """Losses, predictions or logits, as mmengine asks."""
        feats = nn.functional.dropout(self.backbone(inputs).relu(), self.dropout, self.training)
        logits = self.decode_head(feats)
        if mode == 'loss':
            labels = torch.stack([s.gt_sem_seg.data.squeeze(0) for s in data_samples]).long()
            loss = nn.functional.cross_entropy(logits, labels, ignore_index=255)
            self.steps += 1
            if self.is_bad and self.steps == self.die_at:
                raise RuntimeError('this process dies on purpose')
            if self.is_bad and self.steps == self.nan_at:
                loss = loss * float('nan')
            return dict(loss_ce=loss)
        if mode == 'predict':
            for sample, scores in zip(data_samples, logits):
                sample.pred_sem_seg = PixelData(data=scores.argmax(0, keepdim=True))
            return data_samples
        return logits


@HOOKS.register_module()
class CutOffHook(Hook):
    """Ends the run as Ctrl-C does: after a training step, or within a validation.

    Args:
        after_step: the step.
        in_validation_at: the step whose validation it is; it ends after the first picture.
        signal_number: send this signal to the process instead.
        rank: the process to end.
    """

    priority = 'LOWEST'

    def __init__(
        self,
        *,
        after_step: int | None = None,
        in_validation_at: int | None = None,
        signal_number: int | None = None,
        rank: int = 0,
    ) -> None:
        self.after_step = after_step
        self.in_validation_at = in_validation_at
        self.signal_number = signal_number
        self.rank = rank

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        """Cuts off after step ``after_step``."""
        if runner.iter + 1 == self.after_step and runner.rank == self.rank:
            self._cut_off()

    def after_val_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        """Cuts off the validation of step ``in_validation_at``."""
        if runner.iter == self.in_validation_at and batch_idx == 0 and runner.rank == self.rank:
            self._cut_off()

    def _cut_off(self) -> None:
        if self.signal_number is None:
            raise KeyboardInterrupt
        os.kill(os.getpid(), self.signal_number)


@HOOKS.register_module()
class LossFileHook(Hook):
    """Writes the loss of every step of every process to ``losses_<process>.txt``."""

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        """Adds a line."""
        with open(os.path.join(runner.work_dir, f'losses_{runner.rank}.txt'), 'a') as file:
            file.write(f'{outputs["loss"].item()!r}\n')


def write_data(folder: Path, *, number: int = 10, size: tuple[int, int] = (12, 16)) -> Path:
    """``folder/{train,val}/{image,label}`` with ``number`` PNG pairs each; returns ``folder``."""
    generator = np.random.default_rng(0)
    for split in ('train', 'val'):
        for kind in ('image', 'label'):
            (folder / split / kind).mkdir(parents=True)
        for k in range(number):
            label = generator.integers(0, len(CLASSES), size, dtype=np.uint8)
            noise = generator.integers(0, 60, (*size, 3), dtype=np.uint8)
            picture = (label * 90).astype(np.uint8)[..., None] + noise
            Image.fromarray(picture).save(folder / split / 'image' / f'{k:02}.png')
            Image.fromarray(label).save(folder / split / 'label' / f'{k:02}.png')
    return folder


def toy_config(folder: Path, data: Path, *, text: str = '', **changes) -> Path:
    """Writes ``folder/toy.py`` and returns it.

    Args:
        folder: existing folder.
        data: what :func:`write_data` made.
        text: further lines of the config.
        changes: names and values that replace those of the config, dicts merged deeply.
    """
    base = os.path.relpath(ROOT / 'configs' / '_base_', folder)
    lines = [f"_base_ = ['{base}/schedules/sgd.py', '{base}/default_runtime.py']"]
    for name, value in {**_settings(data), **changes}.items():
        lines.append(f'{name} = {pprint.pformat(value, sort_dicts=False)}')
    path = folder / 'toy.py'
    path.write_text('\n'.join([*lines, text, '']))
    return path


def _settings(data: Path) -> dict:
    augment = [
        dict(type='openseg_plugin.SeedSample'),
        *LOADING,
        dict(type='RandomFlip', prob=0.5),
        dict(type='PhotoMetricDistortion'),
        dict(type='PackSegInputs'),
    ]
    return dict(
        custom_imports=dict(imports=['openseg_plugin', 'toy_run'], allow_failed_imports=False),
        model=dict(
            type='openseg_plugin.ToyNet',
            data_preprocessor=dict(
                type='SegDataPreProcessor', mean=[127.0] * 3, std=[60.0] * 3, size=(12, 16)
            ),
        ),
        train_dataloader=loader(data, 'train', augment, batch_size=2, shuffle=True),
        val_dataloader=loader(data, 'val', [*LOADING, dict(type='PackSegInputs')], batch_size=1),
        val_evaluator=dict(type='IoUMetric', iou_metrics=['mIoU']),
        custom_hooks=[dict(type='openseg_plugin.CutOffHook')],
        train_cfg=dict(max_iters=8, val_interval=4),
        default_hooks=dict(
            checkpoint=dict(interval=2),
            logger=dict(interval=1),
            visualization=dict(type='SegVisualizationHook', draw=False),
        ),
    )


def loader(data: Path, split: str, pipeline: list, *, batch_size: int, shuffle: bool = False):
    kind = 'openseg_plugin.InfiniteSampler' if shuffle else 'DefaultSampler'
    return dict(
        batch_size=batch_size,
        num_workers=0,
        sampler=dict(type=kind, shuffle=shuffle),
        dataset=dict(
            type='openseg_plugin.SegDataset',
            metainfo=dict(classes=CLASSES, palette=[[0, 0, 0], [90, 90, 90], [180, 180, 180]]),
            img_suffix='.png',
            data_root=str(data),
            data_prefix=dict(img_path=f'{split}/image', seg_map_path=f'{split}/label'),
            test_mode=not shuffle,
            pipeline=pipeline,
        ),
    )


def environment() -> dict[str, str]:
    """Environment for a script that runs a toy config in a process of its own."""
    paths = [str(ROOT), str(ROOT / 'tests'), os.environ.get('PYTHONPATH', '')]
    return {**os.environ, 'PYTHONPATH': os.pathsep.join(paths), 'OMP_NUM_THREADS': '1'}


def start(*arguments: object, own_group: bool = False) -> subprocess.Popen:
    """Starts ``python ARGUMENTS`` with :func:`environment`, output in pipes."""
    return subprocess.Popen(
        [sys.executable, *map(str, arguments)],
        cwd=ROOT,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=own_group,
    )


def train(config: Path, work_dir: Path, *arguments: str) -> int:
    """Trains in this process; returns the exit status."""
    from openseg_plugin.engine.cli import run
    from openseg_plugin.engine.train import main

    # mmengine keeps message hubs by experiment and second, visualizers by name, for the process
    name = f'run{next(_runs)}'
    options = [f'experiment_name={name}', f'visualizer.name={name}']
    options += [a for a in arguments if '=' in a]
    rest = [a for a in arguments if '=' not in a]
    with mock.patch('mmengine.config.config.FormatCode', as_it_is):
        return run(
            main, [str(config), '--work-dir', str(work_dir), *rest, '--cfg-options', *options]
        )


def as_it_is(text: str, **options: object) -> tuple[str, bool]:
    """In place of yapf, which takes most of the time of a toy run to lay out configs."""
    return text, False


def last_checkpoint(work_dir: Path) -> dict:
    """Contents of the checkpoint that ``last_checkpoint`` names."""
    from openseg_plugin.converters.checkpoints import read_checkpoint

    return read_checkpoint((work_dir / 'last_checkpoint').read_text())


def assert_same_state(first: dict, second: dict) -> None:
    """Weights, momentum, step and random states of two checkpoints are equal bit for bit."""
    assert first['meta']['iter'] == second['meta']['iter']
    for name, value in first['state_dict'].items():
        assert torch.equal(value, second['state_dict'][name]), name
    momenta = [
        {k: v['momentum_buffer'] for k, v in c['optimizer']['state'].items()}
        for c in (first, second)
    ]
    assert momenta[0].keys() == momenta[1].keys() != set()
    assert all(torch.equal(momenta[0][k], momenta[1][k]) for k in momenta[0])
    states = [c['openseg_plugin_loop'] for c in (first, second)]
    assert states[0]['position'] == states[1]['position']
    for one, other in zip(states[0]['random'], states[1]['random'], strict=True):
        assert one['python'] == other['python']
        assert torch.equal(one['torch'], other['torch'])
        assert torch.equal(one['numpy'][1], other['numpy'][1])
