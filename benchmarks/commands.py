"""Whole commands: a tool beside stock mmseg's own, each a process of its own, in turn.

Stock runs its own scripts on its own config: heads, loops, transforms, metric. Both see the same
drawn scenes (:mod:`openseg_plugin.synth`), sizes, seeds and weights. Time is that of the
processor, over the process and what it started, from the start of Python to its end; on a GPU it
is the time on the clock.
"""

import dataclasses
import json
import os
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.core import Setting
from openseg_plugin.errors import ConfigError, MachineError
from openseg_plugin.paths import config_path

COMMANDS = {
    'train': 'tools/train.py beside mmseg train.py (--images: iterations of 2 crops)',
    'test': 'tools/test.py beside mmseg test.py',
    'tta': 'tools/test.py --aug-test, 6 scales, flipped, beside mmseg test.py --tta',
    'predict': "tools/predict.py on a folder beside mmseg's inferencer",
    'startup': 'one tiny iteration, and one tiny image, from the start of Python',
}
# name -> (mmseg's config, ours with the same network; 3x3: with the larger head of our default)
NETWORKS = {
    'hrnet18': ('ocrnet/ocrnet_hr18_4xb2', 'ocr/hrnet18_mmseg_cityscapes_160k'),
    'hrnet18-3x3': ('ocrnet/ocrnet_hr18_4xb2', 'ocr/hrnet18_cityscapes_80k'),
    'hrnet48': ('ocrnet/ocrnet_hr48_4xb2', 'ocr/hrnet48_mmseg_cityscapes_160k'),
    'r101': ('ocrnet/ocrnet_r101-d8_4xb2', 'ocr/r101_mmseg_cityscapes_40k'),
    'isa50': ('isanet/isanet_r50-d8_4xb2', 'isa/r50_mmseg_cityscapes_80k'),
}
_UNLIKE = {'hrnet18-3x3'}  # their weights do not fit mmseg's network
_STOCK_SCHEDULE = '40k_cityscapes-512x1024'
SCALES = ('0.5', '0.75', '1.0', '1.25', '1.5', '1.75')
TINY = (128, 256)  # of 'startup'
_SEED = 304  # of our default config
_PROJECT = Path(__file__).resolve().parent.parent
_OURS = 'ours'


@dataclasses.dataclass(frozen=True)
class Options:
    """What whole commands are run with.

    Attributes:
        network: a name of ``NETWORKS``.
        images: that are tested or predicted; iterations of a training.
        threads: of every process.
        workers: that load data, on both sides; None: as each config says.
        ours: further arguments of our tool; it runs once with each of these.
        stock: further arguments of mmseg's.
        folder: for the data; None: a temporary one.
        has_bound: also run the loop in plain PyTorch.
    """

    network: str = 'hrnet18'
    images: int = 4
    threads: int = 1
    workers: int | None = None
    ours: Sequence[Sequence[str]] = ((),)
    stock: Sequence[str] = ()
    folder: Path | None = None
    has_bound: bool = True


@dataclasses.dataclass(frozen=True)
class Usage:
    """What a process took.

    Attributes:
        cpu: seconds of the processor, with those of the processes that it started.
        wall: seconds on the clock.
        peak: MiB.
        first: processor seconds until the optimizer's first step.
        said: the end of what it printed.
    """

    cpu: float
    wall: float
    peak: float
    first: float | None
    said: str


def run_commands(names: Sequence[str], setting: Setting, options: Options) -> dict[str, Any]:
    """Measures the commands and prints a table for each.

    Returns:
        Name -> ``ratio`` (above 1: ours is faster), its ``low`` and ``high`` over the rounds and
        ``memory_ratio`` (below 1: ours takes less). Where ours runs with several arguments, the
        names have them.

    Raises:
        MachineError: a command failed.
    """
    results = {}
    with tempfile.TemporaryDirectory(prefix='benchmark-') as scratch:
        for name in names:
            size = TINY if name == 'startup' else setting.size
            bench = Bench(options.folder or Path(scratch), setting, options, size)
            results.update(bench.startup() if name == 'startup' else bench.compare(name))
    return results


def _first(count: int) -> str:
    """Indices of the first images; mmengine refuses a number that is all there are."""
    return f'[{",".join(map(str, range(count)))}]'


class Bench:
    """Data, configs and weights of one size in a folder, and the commands that use them."""

    def __init__(
        self, folder: Path, setting: Setting, options: Options, size: tuple[int, int]
    ) -> None:
        self.setting = setting
        self.options = options
        self.size = size
        self.folder = folder.resolve() / f'{size[0]}x{size[1]}'
        self.folder.mkdir(parents=True, exist_ok=True)
        network = options.network
        self.variants = {_side(words, options.ours): words for words in options.ours}
        self.configs = {
            'stock': self.folder / f'stock_{network}.py',
            _OURS: self.folder / f'ours_{network}.py',
        }
        for side, text in (('stock', self._stock_config()), (_OURS, self._our_config())):
            self.configs[side].write_text(text, encoding='utf-8')
        own = network in _UNLIKE
        self.weights = {
            'stock': self.folder / f'{network}.pth',
            _OURS: self.folder / (f'{network}_ours.pth' if own else f'{network}.pth'),
        }
        for side, file in self.weights.items():
            if not file.is_file():
                write_weights(self.configs[side], file)

    def compare(self, name: str) -> dict[str, dict[str, float]]:
        """Runs the sides in turn and prints what they took."""
        count = self.options.images
        self.draw(train=4 if name == 'train' else 0, val=count if name != 'train' else 0)
        sides = ['stock', *self.variants, *(['bare'] if self.options.has_bound else [])]
        height, width = self.size
        print(
            f'{name}: {count} {"iterations" if name == "train" else "images"}, {height}x{width}, '
            f'{self.options.network}, {self.setting.device}, {self.options.threads} threads'
        )
        runs = self._rounds(name, sides)
        # what a further image costs has no share of what is done once
        single = {side: self.run(side, name, count=1) for side in sides} if count > 1 else None
        found = self._report(runs, count, single)
        return {f'{name}{side.removeprefix(_OURS)}': one for side, one in found.items()}

    def startup(self) -> dict[str, dict[str, float]]:
        """A training of one tiny iteration up to its first step, and a tiny prediction."""
        self.draw(train=4, val=1)
        found = {}
        for name, task in (('startup train', 'train'), ('startup predict', 'predict')):
            print(f'{name}: {self.size[0]}x{self.size[1]}, {self.options.threads} threads')
            runs = self._rounds(task, ['stock', *self.variants], count=1)
            if task == 'train':
                runs = {
                    side: [dataclasses.replace(one, cpu=one.first or one.cpu) for one in taken]
                    for side, taken in runs.items()
                }
            for side, one in self._report(runs, 1, None).items():
                found[name.replace(' ', '_') + side.removeprefix(_OURS)] = one
        return found

    def _rounds(
        self, name: str, sides: Sequence[str], count: int | None = None
    ) -> dict[str, list[Usage]]:
        runs: dict[str, list[Usage]] = {side: [] for side in sides}
        for turn in range(self.setting.rounds):
            for side in sides if turn % 2 == 0 else reversed(sides):
                runs[side].append(self.run(side, name, count=count or self.options.images))
        return runs

    def _report(
        self,
        runs: dict[str, list[Usage]],
        count: int,
        single: dict[str, Usage] | None,
    ) -> dict[str, dict[str, float]]:
        """Prints the table; ``single`` are runs with one image, None where there are no more."""
        width = max(map(len, runs)) + 2
        heads = ('CPU s', 'wall s', 'images/s', 'peak MB')
        print(f'{"":{width}}' + ''.join(f'{head:>10}' for head in heads) + f'{"CPU s/more":>12}')
        further = {}
        for side, taken in runs.items():
            cpu, wall, peak = (_median(taken, key) for key in ('cpu', 'wall', 'peak'))
            cell = ''
            if single is not None:
                further[side] = (cpu - single[side].cpu) / (count - 1)
                cell = f'{further[side]:12.2f}'
            print(f'{side:{width}}{cpu:10.2f}{wall:10.2f}{count / wall:10.3f}{peak:10.0f}{cell}')
        for side in list(runs)[1:]:
            words = []
            for key in ('cpu', 'wall'):
                found = _ratios(runs['stock'], runs[side], key)
                low, high = min(found), max(found)
                words.append(f'{key} {statistics.median(found):.2f} ({low:.2f} to {high:.2f})')
            if further and min(further['stock'], further[side]) > 0:
                words.append(f'each further one {further["stock"] / further[side]:.2f}')
            print(f'stock / {side}: {", ".join(words)}', flush=True)
        key = 'cpu' if self.setting.device == 'cpu' else 'wall'
        results = {}
        for side in self.variants:
            found = _ratios(runs['stock'], runs[side], key)
            memory = _median(runs[side], 'peak') / _median(runs['stock'], 'peak')
            results[side] = dict(
                ratio=round(statistics.median(found), 3),
                low=round(min(found), 3),
                high=round(max(found), 3),
                memory_ratio=round(memory, 3),
            )
        return results

    def run(self, side: str, name: str, *, count: int) -> Usage:
        """What one run of a side takes.

        Raises:
            MachineError: it failed.
        """
        script, arguments = self.command(side, name, count=count)
        result = self.folder / 'result.json'
        command = [sys.executable, '-m', 'benchmarks.process', result, script, *arguments]
        return self.run_command(command, result)

    def run_command(self, command: Sequence[Any], result: Path | None = None) -> Usage:
        """What any command takes.

        Args:
            command: its words.
            result: what :mod:`benchmarks.process` writes, where the command goes through it.

        Raises:
            MachineError: it failed.
        """
        if result is not None:
            result.unlink(missing_ok=True)
        with tempfile.TemporaryFile('w+', encoding='utf-8', errors='replace') as log:
            start = time.perf_counter()
            process = subprocess.Popen(
                [str(word) for word in command],
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=_PROJECT,
                env=self._environment(),
            )
            _, status, used = os.wait4(process.pid, 0)
            wall = time.perf_counter() - start
            process.returncode = os.waitstatus_to_exitcode(status)
            log.seek(0)
            said = log.read()[-4000:]
        if process.returncode != 0 or (result is not None and not result.is_file()):
            raise MachineError(
                f'the benchmark could not run {shlex.join(str(word) for word in command)}: {said}'
            )
        found = dict(peak_mb=None, first_step_s=None)
        if result is not None:
            found = json.loads(result.read_text(encoding='utf-8'))
        peak = found['peak_mb'] or used.ru_maxrss / 2**10
        return Usage(used.ru_utime + used.ru_stime, wall, peak, found['first_step_s'], said)

    def command(self, side: str, name: str, *, count: int) -> tuple[Path, list[Any]]:
        """Script and arguments of one side."""
        if side == 'stock':
            return self._stock_command(name, count)
        if side == 'bare':
            return self._bare_command(name, count)
        return self._our_command(name, count, self.variants[side])

    def _stock_command(self, name: str, count: int) -> tuple[Path, list[Any]]:
        import mmseg

        tools = Path(mmseg.__file__).parent / '.mim' / 'tools'
        work = ['--work-dir', self.folder / 'work_stock']
        config = self.configs['stock']
        if name == 'train':
            options = ['--cfg-options', f'train_cfg.max_iters={count}']
            return tools / 'train.py', [config, *work, *options, *self.options.stock]
        if name == 'predict':
            out, images = self.folder / 'predicted_stock', self._some_images(count)
            arguments = [config, self.weights['stock'], images, out, self.setting.device]
            return _PROJECT / 'benchmarks' / 'stock_predict.py', arguments
        flags = ['--tta'] if name == 'tta' else []
        options = ['--cfg-options', f'test_dataloader.dataset.indices={_first(count)}']
        arguments = [config, self.weights['stock'], *work, *flags, *options, *self.options.stock]
        return tools / 'test.py', arguments

    def _our_command(self, name: str, count: int, more: Sequence[str]) -> tuple[Path, list[Any]]:
        tools = _PROJECT / 'tools'
        work = ['--work-dir', self.folder / 'work_ours']
        config = self.configs[_OURS]
        if name == 'train':
            options = ['--cfg-options', f'train_cfg.max_iters={count}']
            return tools / 'train.py', [config, *work, *options, *more]
        if name == 'predict':
            out, images = self.folder / 'predicted_ours', self._some_images(count)
            arguments = [config, self.weights[_OURS], images, '--out', out, '--overwrite']
            return tools / 'predict.py', [*arguments, *more]
        flags = ['--aug-test', '--scales', *SCALES] if name == 'tta' else []
        options = ['--cfg-options', f'test_dataloader.dataset.indices={_first(count)}']
        return tools / 'test.py', [
            config,
            self.weights[_OURS],
            *work,
            *flags,
            *options,
            *more,
        ]

    def _bare_command(self, name: str, count: int) -> tuple[Path, list[Any]]:
        folder = self.folder
        rest: list[Any] = [count]
        if name != 'train':
            folder, rest = self._some_images(count).parent.parent, []
        if name == 'predict':
            rest = [self.folder / 'predicted_bare']
            rest[0].mkdir(exist_ok=True)
        arguments = [name, self.configs[_OURS], self.weights[_OURS], folder]
        arguments += [self.setting.device, *rest]
        return _PROJECT / 'benchmarks' / 'bare.py', arguments

    def _some_images(self, count: int) -> Path:
        """A folder with the first ``count`` images of the validation split, linked."""
        root = self.folder / f'first_{count}' / 'val'
        for kind in ('image', 'label'):
            (root / kind).mkdir(parents=True, exist_ok=True)
            for file in sorted((self.folder / 'val' / kind).iterdir())[:count]:
                link = root / kind / file.name
                if not link.exists():
                    link.symlink_to(file.resolve())
        return root / 'image'

    def _environment(self) -> dict[str, str]:
        threads = str(self.options.threads)
        names = ('OMP_NUM_THREADS', 'MKL_NUM_THREADS', 'OPENBLAS_NUM_THREADS')
        paths = [str(_PROJECT), os.environ.get('PYTHONPATH', '')]
        hidden = {'CUDA_VISIBLE_DEVICES': ''} if self.setting.device == 'cpu' else {}
        # mmseg was compiled when it was installed; a checkout of ours is by its first run
        inherited = {k: v for k, v in os.environ.items() if k != 'PYTHONDONTWRITEBYTECODE'}
        return {
            **inherited,
            **{name: threads for name in names},
            **hidden,
            'PYTHONPATH': os.pathsep.join(filter(None, paths)),
        }

    def draw(self, *, train: int, val: int) -> None:
        """Scenes and their labels in both layouts, where they are not there yet."""
        import cv2

        from openseg_plugin.converters.datasets.cityscapes import draw_labels
        from openseg_plugin.synth.dataset import Settings, write_dataset

        settings = Settings(_SEED, *self.size)
        write_dataset(self.folder, settings, counts=dict(train=train, val=val), show=False)
        for polygons in sorted(self.folder.glob('gtFine/*/*/*_polygons.json')):
            split, stem = polygons.parts[-3], polygons.name.removesuffix('_gtFine_polygons.json')
            label = polygons.with_name(f'{stem}_gtFine_labelTrainIds.png')
            if label.is_file():
                continue
            cv2.imwrite(str(label), draw_labels(polygons, 'trainids'))
            image = self.folder / 'leftImg8bit' / split / polygons.parent.name
            for kind, file in (('image', image / f'{stem}_leftImg8bit.png'), ('label', label)):
                folder = self.folder / split / kind
                folder.mkdir(parents=True, exist_ok=True)
                (folder / f'{stem}.png').symlink_to(file)

    def _stock_config(self) -> str:
        import mmseg

        name = f'{NETWORKS[self.options.network][0]}-{_STOCK_SCHEDULE}.py'
        base = Path(mmseg.__file__).parent / '.mim' / 'configs' / name
        height, width = self.size
        return f"""
_base_ = [{str(base)!r}]
crop_size = {self._crop!r}
data_root = {str(self.folder)!r}
model = dict(pretrained=None, data_preprocessor=dict(size=crop_size))
train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations'),
    dict(
        type='RandomResize', scale=({width}, {height}), ratio_range=(0.5, 2.0), keep_ratio=True
    ),
    dict(type='RandomCrop', crop_size=crop_size, cat_max_ratio=0.75),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PhotoMetricDistortion'),
    dict(type='PackSegInputs'),
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=({width}, {height}), keep_ratio=True),
    dict(type='LoadAnnotations'),
    dict(type='PackSegInputs'),
]
train_dataloader = dict({self._workers}dataset=dict(data_root=data_root, pipeline=train_pipeline))
test_dataloader = dict({self._workers}dataset=dict(data_root=data_root, pipeline=test_pipeline))
val_dataloader = None
val_cfg = None
val_evaluator = None
randomness = dict(seed={_SEED})
"""

    def _our_config(self) -> str:
        base = config_path(f'{NETWORKS[self.options.network][1]}.py')
        return f"""
_base_ = [{str(base)!r}]
crop_size = {self._crop!r}
data_root = {str(self.folder)!r}
model = dict(backbone=dict(init_cfg=None), data_preprocessor=dict(size=crop_size))
train_pipeline = [
    *_base_.steps.load_train,
    _base_.steps.scale,
    dict(type='openseg_plugin.RandomCrop', crop_size=crop_size, pad_mode='random'),
    _base_.steps.flip,
    _base_.steps.brightness,
    _base_.steps.pack_train,
]
train_dataloader = dict({self._workers}dataset=dict(data_root=data_root, pipeline=train_pipeline))
test_dataloader = dict({self._workers}dataset=dict(data_root=data_root))
val_dataloader = None
val_cfg = None
val_evaluator = None
randomness = dict(seed={_SEED})
"""

    @property
    def _crop(self) -> tuple[int, int]:
        return self.size[0] // 2, self.size[1] // 2

    @property
    def _workers(self) -> str:
        if self.options.workers is None:
            return ''
        return (
            f'num_workers={self.options.workers}, persistent_workers={self.options.workers > 0}, '
        )


def write_weights(config: Path, file: Path) -> None:
    """Weights at random for stock mmseg's network, norms with the statistics of a batch."""
    import torch
    from mmengine.config import Config
    from mmengine.model import revert_sync_batchnorm
    from mmengine.registry import init_default_scope

    from benchmarks.inputs import smooth
    from openseg_plugin.registry import MODELS

    init_default_scope('mmseg')
    torch.manual_seed(0)
    model = revert_sync_batchnorm(MODELS.build(Config.fromfile(config).model)).train()
    for norm in model.modules():
        if isinstance(norm, torch.nn.modules.batchnorm._BatchNorm):
            norm.momentum = 1.0
    with torch.no_grad():  # running statistics that keep activations in range
        model.extract_feat(smooth((2, 3, 128, 256)))
    torch.save(dict(state_dict=model.state_dict(), meta={}), file)


def check_options(names: Sequence[str], setting: Setting, options: Options) -> None:
    """Refuses what cannot be measured.

    Raises:
        ConfigError: sides that no crop of the network fits into.
    """
    if any(name != 'startup' for name in names) and min(setting.size) < 128:
        raise ConfigError(
            f'--size {setting.size[0]} {setting.size[1]} is too small for whole commands, which '
            'train on half of it: give at least 128 pixels'
        )
    if options.folder is not None and options.folder.is_file():
        raise ConfigError(f'--folder {options.folder} is a file: give a folder')


def _side(words: Sequence[str], variants: Sequence[Sequence[str]]) -> str:
    """``ours``, with its arguments where it runs with several."""
    return shlex.join([_OURS, *words]) if len(variants) > 1 else _OURS


def _median(taken: Sequence[Usage], key: str) -> float:
    return statistics.median(getattr(one, key) for one in taken)


def _ratios(stock: Sequence[Usage], other: Sequence[Usage], key: str) -> list[float]:
    """Of the rounds, one by one."""
    return [getattr(one, key) / getattr(two, key) for one, two in zip(stock, other)]
