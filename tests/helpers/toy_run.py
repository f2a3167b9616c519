"""A training that takes a second: a few small images on disk, two convolutions, the real engine.

Used by the tests of the engine, of the tools and of several processes; the configs that
:func:`toy_config` writes can be run by any script, with ``tests/helpers`` on ``PYTHONPATH``.
"""

import itertools
import os
import pprint
import subprocess
import sys
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from toy_net import CLASSES

LOADING = [dict(type='LoadImageFromFile'), dict(type='openseg_plugin.LoadLabels')]
ROOT = Path(__file__).parents[2]
_runs = itertools.count()


def write_data(folder: Path, *, number: int = 10, size: tuple[int, int] = (12, 16)) -> Path:
    """``folder/{train,val}/{image,label}`` with ``number`` PNG pairs each; returns ``folder``."""
    generator = np.random.default_rng(0)
    for split in ('train', 'val'):
        for kind in ('image', 'label'):
            (folder / split / kind).mkdir(parents=True)
        for k in range(number):
            label = generator.integers(0, len(CLASSES), size, dtype=np.uint8)
            noise = generator.integers(0, 60, (*size, 3), dtype=np.uint8)
            image = (label * 90).astype(np.uint8)[..., None] + noise
            Image.fromarray(image).save(folder / split / 'image' / f'{k:02}.png')
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
            curves=dict(type='openseg_plugin.NoCurvesHook'),
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
    paths = [str(ROOT), str(ROOT / 'tests/helpers'), os.environ.get('PYTHONPATH', '')]
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
    from openseg_plugin.cli.main import run
    from openseg_plugin.cli.train import main

    # mmengine keeps message hubs by experiment and second, visualizers by name, for the process
    name = f'run{next(_runs)}'
    options = [f'experiment_name={name}', f'visualizer.name={name}']
    options += [a for a in arguments if '=' in a]
    rest = [a for a in arguments if '=' not in a]
    return run(main, [str(config), '--work-dir', str(work_dir), *rest, '--cfg-options', *options])


def as_it_is(text: str, **options: object) -> tuple[str, bool]:
    """In place of yapf, which takes most of the time of a toy run to lay out configs."""
    return text, False


def last_checkpoint(work_dir: Path) -> dict:
    """Contents of the checkpoint that ``last_checkpoint`` names."""
    from openseg_plugin.converters.checkpoints import read_checkpoint

    return read_checkpoint((work_dir / 'last_checkpoint').read_text())


def assert_same_state(first: dict, second: dict) -> None:
    """Weights, momentum, iteration and random states of two checkpoints are equal bit for bit.

    So are averaged weights, schedules, accumulated gradients, and statistics of single processes.
    """
    assert first['meta']['iter'] == second['meta']['iter']
    for name, value in first['state_dict'].items():
        assert torch.equal(value, second['state_dict'][name]), name
    momenta = [
        {k: v['momentum_buffer'] for k, v in c['optimizer']['state'].items()}
        for c in (first, second)
    ]
    assert momenta[0].keys() == momenta[1].keys() != set()
    assert all(torch.equal(momenta[0][k], momenta[1][k]) for k in momenta[0])
    assert first.get('param_schedulers') == second.get('param_schedulers')
    averaged = [c.get('ema_state_dict') or {} for c in (first, second)]
    _assert_equal_tensors(*averaged)
    states = [c['openseg_plugin_loop'] for c in (first, second)]
    for key in ('gradients', 'buffers'):  # of every process, or None
        parts = [state[key] or [] for state in states]
        for one, other in zip(*parts, strict=True):
            _assert_equal_tensors(one, other)
    assert states[0]['position'] == states[1]['position']
    for one, other in zip(states[0]['random'], states[1]['random'], strict=True):
        assert one['python'] == other['python']
        assert torch.equal(one['torch'], other['torch'])
        assert torch.equal(one['numpy'][1], other['numpy'][1])


def _assert_equal_tensors(first: dict, second: dict) -> None:
    assert first.keys() == second.keys()
    assert not [name for name in first if not torch.equal(first[name], second[name])]
