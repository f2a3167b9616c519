"""Trainings that are killed at random moments, resumed, and compared bit for bit.

``python tests/helpers/kills.py 200`` kills that often and prints how many resumes were exact; the
tests in ``tests/robustness`` do the same with fewer. Everything follows from the seed but the
scheduling of the processes.
"""

import os
import random
import signal
import sys
import time
import traceback
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import toy_run

LOOP = dict(max_iters=45, val_interval=7)
LATEST = 9  # iteration of a run after which the signal comes at the latest
LONGEST = 90.0  # seconds for a process to end after its signal
STARTUP = 2.0  # seconds within which an early signal comes
EARLY = 0.1  # fraction of the signals that come before the first iteration
SPAN = 0.3  # seconds within which a signal comes after an iteration was logged
SIGNALS = ('SIGKILL', 'SIGTERM', 'SIGINT', 'SIGHUP', 'SIGUSR1')
# what is unlike in the trainings: options of the command line that change a toy config
VARIANTS = {
    'plain': (),
    'loaders': ('train_dataloader.num_workers=2', 'val_dataloader.num_workers=1'),
    'accumulated': ('optim_wrapper.accumulative_counts=3',),
    'averaged': ('custom_hooks.1.type=EMAHook', 'custom_hooks.1.momentum=0.1'),
}


@dataclass
class Figures:
    """What was done and how it ended."""

    kills: Counter = field(default_factory=Counter)  # (who, signal) -> number
    chains: int = 0
    failures: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        kinds = ', '.join(f'{who} {name} {n}' for (who, name), n in sorted(self.kills.items()))
        total = sum(self.kills.values())
        return f'{total} kills in {self.chains} trainings, {len(self.failures)} not exact ({kinds})'


def write_config(folder: Path) -> Path:
    """A toy config, with a second custom hook that a variant may fill."""
    data = toy_run.write_data(folder / 'data', number=6)
    hooks = [dict(type='openseg_plugin.CutOffHook'), dict(type='openseg_plugin.CutOffHook')]
    checkpoint = dict(interval=3, max_keep_ckpts=2)
    return toy_run.toy_config(
        folder,
        data,
        custom_hooks=hooks,
        train_cfg=LOOP,
        default_hooks=dict(
            checkpoint=checkpoint,
            logger=dict(interval=1),
            visualization=dict(type='SegVisualizationHook', draw=False),
        ),
    )


def train_in_child(config: Path, work: Path, *options: str) -> int:
    """Starts a training in a forked process, which saves the imports; returns its number."""
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        os.setsid()
        sys.stdout = sys.stderr = open(work.with_suffix('.log'), 'a', buffering=1)  # noqa: SIM115
        for name in SIGNALS[1:]:
            signal.signal(getattr(signal, name), signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        status = toy_run.train(config, work, *options, '--resume', '--verbose')
    except KeyboardInterrupt:  # before the tool is there to say it, or after; as Python does
        status = 128 + signal.SIGINT
    except SystemExit as error:
        status = error.code if isinstance(error.code, int) else 1
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def wait(process: int, seconds: float) -> int | None:
    """Exit status as ``subprocess`` has it; None if it still runs after so long."""
    end = time.monotonic() + seconds
    while True:
        done, status = os.waitpid(process, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() > end:
            return None
        time.sleep(0.01)


def children(process: int) -> list[int]:
    try:
        text = Path(f'/proc/{process}/task/{process}/children').read_text()
    except OSError:
        return []
    return [int(child) for child in text.split()]


def iterations_logged(log: Path, begin: int) -> int:
    """Iterations of training that a run has logged behind byte ``begin``."""
    if not log.exists():
        return 0
    with open(log, 'rb') as file:
        file.seek(begin)
        return file.read().count(b'Iter(train)')


def wait_for_moment(process: int, log: Path, begin: int, randomness: random.Random) -> bool:
    """Waits for a random moment of the run, early or after some iteration; False: it is over."""
    if randomness.random() < EARLY:
        return wait(process, randomness.uniform(0, STARTUP)) is None
    wanted = randomness.randint(1, LATEST)
    end = time.monotonic() + LONGEST
    while iterations_logged(log, begin) < wanted and time.monotonic() < end:
        if wait(process, 0.02) is not None:
            return False
    return wait(process, randomness.uniform(0, SPAN)) is None


def kill_once(
    process: int,
    log: Path,
    begin: int,
    randomness: random.Random,
    *,
    with_loaders: bool,
    figures: Figures,
) -> str | None:
    """Waits, sends a signal to the trainer or a loading process, waits for the end.

    Returns:
        What went wrong; None if the run ended as it should.
    """
    if not wait_for_moment(process, log, begin, randomness):
        return None  # it was done before
    name, target, who = randomness.choice(SIGNALS), process, 'trainer'
    loading = children(process) if with_loaders else []
    if loading and randomness.random() < 0.6:
        name, target, who = 'SIGKILL', randomness.choice(loading), 'loader'
    try:
        os.kill(target, getattr(signal, name))
    except ProcessLookupError:
        return None
    figures.kills[who, name] += 1
    status = wait(process, LONGEST)
    if status is None:
        os.killpg(process, signal.SIGKILL)
        os.waitpid(process, 0)
        return f'{who} {name}: still running after {LONGEST} s'
    number = getattr(signal, name)
    expected = {0, -number, 128 + number} | ({1} if who == 'loader' else set())
    return None if status in expected else f'{who} {name}: status {status}'


def chain(config: Path, work: Path, seed: int, *, kills: int, figures: Figures) -> dict:
    """A training that is killed ``kills`` times; its last checkpoint."""
    randomness = random.Random(seed)
    options = VARIANTS[list(VARIANTS)[seed % len(VARIANTS)]]
    log = work.with_suffix('.log')
    for _ in range(kills):
        begin = log.stat().st_size if log.exists() else 0
        process = train_in_child(config, work, *options)
        wrong = kill_once(
            process,
            log,
            begin,
            randomness,
            with_loaders='num_workers' in str(options),
            figures=figures,
        )
        if wrong:
            figures.failures.append(f'seed {seed}: {wrong}: {log.read_text()[-1500:]}')
    status = wait(train_in_child(config, work, *options), LONGEST)
    figures.chains += 1
    if status != 0:
        said = log.read_text()[-2000:]
        figures.failures.append(f'seed {seed}: the last run ended with {status}: {said}')
    return toy_run.last_checkpoint(work)


def compare(folder: Path, seeds: list[int], *, kills: int) -> Figures:
    """Kills trainings with these seeds and compares each with one that was left alone."""
    import openseg_plugin.engine.runner.training  # noqa: F401  the children need not

    config = write_config(folder)
    figures = Figures()
    expected: dict[int, dict] = {}
    for seed in seeds:
        kind = seed % len(VARIANTS)
        if kind not in expected:
            alone = chain(config, folder / f'alone{kind}', kind, kills=0, figures=Figures())
            expected[kind] = alone
        found = chain(config, folder / f'killed{seed}', seed, kills=kills, figures=figures)
        try:
            toy_run.assert_same_state(expected[kind], found)
        except AssertionError as error:
            figures.failures.append(f'seed {seed}: not the same bits, {error}')
        print(f'seed {seed}: {figures}', flush=True)
    return figures


def main() -> None:
    import tempfile

    wanted, first = int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 0
    per_chain = 5
    with tempfile.TemporaryDirectory() as folder:
        seeds = list(range(first, first + wanted // per_chain))
        figures = compare(Path(folder), seeds, kills=per_chain)
    print(figures)
    print(*figures.failures, sep='\n')


if __name__ == '__main__':
    main()
