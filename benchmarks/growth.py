"""How time and memory of the tools grow: one axis at a time, every run a process of its own.

``python -m benchmarks growth`` prints one row per value and the exponent between its neighbors: 1
is linear, below 1 what is done once still counts. ``--op`` names one axis, ``--rounds`` the runs of
each value, of which the median counts.
"""

import json
import math
import statistics
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.commands import SCALES, Bench, Options, Usage, write_weights
from benchmarks.core import Setting
from openseg_plugin.errors import ConfigError, MachineError

SIZES = ((512, 512), (1024, 1024), (1024, 2048), (2048, 4096), (4096, 8192))
CLASSES = (2, 19, 60, 150, 171)
BATCHES = (2, 4, 8)
WORKERS = (0, 1, 2)
RANKS = (1, 2, 4)
LENGTHS = (10**2, 10**3, 10**4, 10**5, 10**6)
_MEASURED = 2  # further iterations of a training, beside its first
_SAMPLES = 200  # that workers load
_FILES = 1000  # which the lines of a long list name in turn
_SMALL = (512, 1024)  # of everything but the image's own size


@dataclass(frozen=True)
class Row:
    """One value of an axis.

    Attributes:
        value: shown.
        amount: what should be proportional to the time.
        seconds: on the clock for ranks and workers, else of the processor.
        peak: MiB; None where it is not that of one process.
    """

    value: str
    amount: float
    seconds: float
    peak: float | None


def run(setting: Setting, options: Options, *, only: str | None = None) -> dict[str, list[dict]]:
    """Measures all axes, or the one of this name, and prints their tables.

    Raises:
        ConfigError: there is no such axis.
        MachineError: a command failed.
    """
    if only is not None and only not in AXES:
        raise ConfigError(f'--op {only}: choose one of {", ".join(AXES)}')
    found = {}
    with tempfile.TemporaryDirectory(prefix='growth-') as scratch:
        folder = options.folder or Path(scratch)
        for name, (title, rows_of) in AXES.items():
            if only in (None, name):
                print(f'{title}\n{name:>12}{"s":>10}{"exponent":>10}{"peak MB":>10}', flush=True)
                found[name] = [vars(row) for row in _shown(rows_of(folder, setting, options))]
    return found


def _shown(rows: Iterator[Row]) -> Iterator[Row]:
    before = None
    for row in rows:
        exponent = ''
        if before is not None and row.amount != before.amount:
            grown = math.log(max(row.seconds, 1e-3) / max(before.seconds, 1e-3))
            exponent = f'{grown / math.log(row.amount / before.amount):.2f}'
        peak = '' if row.peak is None else f'{row.peak:.0f}'
        print(f'{row.value:>12}{row.seconds:10.2f}{exponent:>10}{peak:>10}', flush=True)
        before = row
        yield row


def _median(runs: Sequence[Usage]) -> Usage:
    middle = {
        key: statistics.median(getattr(one, key) for one in runs) for key in ('cpu', 'wall', 'peak')
    }
    return replace(runs[0], **middle)


def _usage(bench: Bench, name: str, *, count: int = 1, more: Sequence[str] = ()) -> Usage:
    """What our tool takes, with further arguments."""
    bench.variants['ours'] = (*bench.options.ours[0], *more)
    return _median([bench.run('ours', name, count=count) for _ in range(bench.setting.rounds)])


def _images(folder: Path, setting: Setting, options: Options) -> Iterator[Row]:
    for size in SIZES:
        bench = Bench(folder, setting, options, size)
        bench.draw(train=0, val=1)
        used = _usage(bench, 'predict')
        pixels = size[0] * size[1]
        yield Row(f'{pixels / 2**20:g} MP', pixels, used.cpu, used.peak)


def _classes(folder: Path, setting: Setting, options: Options) -> Iterator[Row]:
    for number in CLASSES:
        bench = Bench(folder, setting, options, _SMALL)
        bench.draw(train=0, val=1)
        config = bench.folder / f'classes_{number}.py'
        names, colors = [f'class {k}' for k in range(number)], [[k, k, k] for k in range(number)]
        config.write_text(f"""
_base_ = [{str(bench.configs['ours'])!r}]
model = dict(decode_head=dict(num_classes={number}))
metainfo = dict(classes={names}, palette={colors})
test_dataloader = dict(dataset=dict(metainfo=metainfo))
""")
        bench.configs['ours'], bench.weights['ours'] = config, config.with_suffix('.pth')
        write_weights(config, bench.weights['ours'])
        used = _usage(bench, 'predict')
        yield Row(str(number), number, used.cpu, used.peak)


def _batches(folder: Path, setting: Setting, options: Options) -> Iterator[Row]:
    for number in BATCHES:
        more = [f'train_dataloader.batch_size={number}']
        used, first = _training(folder, setting, options, more)
        yield Row(str(number), number, (used.cpu - first.cpu) / _MEASURED, used.peak)


def _training(
    folder: Path, setting: Setting, options: Options, more: Sequence[str]
) -> tuple[Usage, Usage]:
    """A training of some iterations, and one of the first alone."""
    found = []
    for count in (1 + _MEASURED, 1):
        bench = Bench(folder, setting, options, _SMALL)
        bench.draw(train=16, val=0)
        found.append(_usage(bench, 'train', count=count, more=more))
    return found[0], found[1]


def _scales(folder: Path, setting: Setting, options: Options) -> Iterator[Row]:
    for number in (1, 2, 4, len(SCALES)):
        scales = ('1.0', '0.75', '1.25', '0.5', '1.5', '1.75')[:number]
        bench = Bench(folder, setting, options, _SMALL)
        bench.draw(train=0, val=1)
        used = _usage(bench, 'test', more=['--aug-test', '--scales', *scales])
        yield Row(str(number), sum(float(one) ** 2 for one in scales), used.cpu, used.peak)


def _workers(folder: Path, setting: Setting, options: Options) -> Iterator[Row]:
    bench = Bench(folder, setting, options, (1024, 2048))
    bench.draw(train=4, val=0)
    for number in WORKERS:
        seconds, _ = _child(_LOADING, bench.configs['ours'], number, _SAMPLES)
        # the main process loads where there are none
        yield Row(str(number), 1 / max(number, 1), seconds, None)


def _ranks(folder: Path, setting: Setting, options: Options) -> Iterator[Row]:
    for number in RANKS:
        times = []
        for count in (1 + _MEASURED, 1):
            bench = Bench(folder, setting, options, _SMALL)
            bench.draw(train=16, val=0)
            script, arguments = bench.command('ours', 'train', count=count)
            command = [sys.executable, '-m', 'torch.distributed.run', '--standalone']
            command += ['--nproc-per-node', str(number), script, *map(str, arguments)]
            times.append(bench.run_command(command).wall)
        # every rank has a batch of its own
        yield Row(str(number), number, (times[0] - times[1]) / _MEASURED, None)


def _lengths(folder: Path, setting: Setting, options: Options) -> Iterator[Row]:
    place = folder / 'lists'
    place.mkdir(parents=True, exist_ok=True)
    for k in range(_FILES):
        for ending in ('jpg', 'png'):
            (place / f'{k:04}.{ending}').touch()
    for number in LENGTHS:
        names = (f'{k % _FILES:04}' for k in range(number))
        text = ''.join(f'{name}.jpg {name}.png\n' for name in names)
        (place / 'train.lst').write_text(text, encoding='ascii')
        seconds, megabytes = _child(_LISTING, place, number)
        yield Row(f'{number:,}', number, seconds, megabytes)


def _child(code: str, *arguments: object) -> tuple[float, float]:
    """Two numbers that a program prints."""
    command = [sys.executable, '-c', textwrap.dedent(code), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise MachineError(f'a part of the benchmark failed: {done.stderr[-2000:]}')
    first, second = json.loads(done.stdout.splitlines()[-1])
    return first, second


_LOADING = """
    import json, os, sys, time
    from mmengine.config import Config
    from mmengine.registry import init_default_scope
    from mmengine.runner import Runner

    workers, samples = int(sys.argv[2]), int(sys.argv[3])
    if hasattr(os, 'sched_setaffinity'):  # one alone would read the label on a second core
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: max(workers, 1)])
    init_default_scope('mmseg')
    cfg = Config.fromfile(sys.argv[1])
    loader = dict(cfg.train_dataloader, batch_size=1, num_workers=workers)
    loader['persistent_workers'] = workers > 0
    data = iter(Runner.build_dataloader(loader, seed=0))
    for _ in range(4):
        next(data)
    start = time.perf_counter()
    for _ in range(samples):
        next(data)
    print(json.dumps([time.perf_counter() - start, 0]))
"""
_LISTING = """
    import json, sys, time
    from benchmarks.process import resident_megabytes
    from mmengine.registry import init_default_scope
    from openseg_plugin.registry import DATASETS

    init_default_scope('mmseg')
    config = dict(type='openseg_plugin.ListDataset', data_root=sys.argv[1], ann_file='train.lst')
    config |= dict(metainfo=dict(classes=('a', 'b')), pipeline=[])
    DATASETS.get(config['type'])
    before, start = resident_megabytes(), time.perf_counter()
    dataset = DATASETS.build(config)
    assert len(dataset) == int(sys.argv[2])
    print(json.dumps([time.perf_counter() - start, resident_megabytes() - before]))
"""

_Rows = Callable[[Path, Setting, Options], Iterator[Row]]
AXES: dict[str, tuple[str, _Rows]] = {
    'image': ('openseg predict, one image: processor time of the process', _images),
    'classes': ('openseg predict, 512x1024: processor time of the process', _classes),
    'batch': ('openseg train, crops of 256x512: processor time of an iteration', _batches),
    'scales': ('openseg test --aug-test, 512x1024, flipped: processor time', _scales),
    'workers': (
        f'{_SAMPLES} samples of 1024x2048 for a training, a core per worker: time on the clock',
        _workers,
    ),
    'ranks': ('openseg train, crops of 256x512, gloo: time on the clock of an iteration', _ranks),
    'length': ('start of a dataset from a list: time on the clock, memory that it adds', _lengths),
}
