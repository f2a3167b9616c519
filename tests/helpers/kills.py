"""Trainings that are killed at random moments, resumed, and compared bit for bit.

``python tests/helpers/kills.py 180`` kills that often and prints how many resumes were exact,
``python tests/helpers/kills.py 20 two`` likewise in trainings of two processes: their launcher, one
of them, or a loading process of one. The tests in ``tests/robustness`` do the same with fewer.
Everything follows from the seed but the scheduling of the processes.
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

import torch
import toy_run

LOOP = dict(max_iters=60, val_interval=7)
LATEST = 9  # iteration of a run after which the signal comes at the latest
LONGEST = 90.0  # seconds for a process to end after its signal
STARTUP = 2.0  # seconds within which an early signal comes
EARLY = 0.1  # fraction of the signals that come before the first iteration
SPAN = 0.3  # seconds within which a signal comes after an iteration was logged,
LATER = 3  # and iterations, lest a fast machine ends the training before
SIGNALS = ('SIGKILL', 'SIGTERM', 'SIGINT', 'SIGHUP', 'SIGUSR1')
# likewise of two processes, which start from nothing and so take longer; who is killed in turn
STARTUP_OF_TWO = 8.0
LONGEST_OF_TWO = 200.0
SURVIVAL = 30.0  # seconds that a process may outlive its launcher
SURVIVAL_OF_LOADERS = 12.0  # likewise a loading process the one that it loads for
TURNS = (
    ('launcher', SIGNALS[:1]),
    ('rank', SIGNALS[:1]),
    ('loader', SIGNALS[:1]),
    ('launcher', SIGNALS[1:]),
    ('rank', SIGNALS[1:]),
)
# what is unlike in the trainings: options of the command line that change a toy config
VARIANTS = {
    'plain': (),
    'loaders': ('train_dataloader.num_workers=2', 'val_dataloader.num_workers=1'),
    'accumulated': ('optim_wrapper.accumulative_counts=3',),
    'averaged': ('custom_hooks.1.type=EMAHook', 'custom_hooks.1.momentum=0.1'),
}
VARIANTS_OF_TWO = {
    'loaders': VARIANTS['loaders'],
    'accumulated and averaged': (
        *VARIANTS['accumulated'],
        *VARIANTS['averaged'],
        'train_dataloader.num_workers=1',
    ),
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
    folder.mkdir(exist_ok=True)
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
            curves=dict(type='openseg_plugin.NoCurvesHook'),
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


def train_in_two(config: Path, work: Path, *options: str) -> int:
    """Starts a training of two processes; returns the number of their launcher."""
    child = os.fork()
    if child:
        return child
    try:
        os.setsid()
        log = os.open(work.with_suffix('.log'), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        for stream in (1, 2):
            os.dup2(log, stream)
        for name in SIGNALS[1:]:
            signal.signal(getattr(signal, name), signal.SIG_DFL)
        command = ['bash', 'tools/dist_train.sh', str(config), '2', '--work-dir', str(work)]
        command += ['--resume', '--verbose', '--cfg-options', *options]
        os.chdir(toy_run.ROOT)
        os.execvpe('bash', command, {**toy_run.environment(), 'PYTHON': sys.executable})
    finally:
        os._exit(1)


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


def wait_for_moment(
    process: int, log: Path, begin: int, randomness: random.Random, *, startup: float = STARTUP
) -> bool:
    """Waits for a random moment of the run, early or after some iteration; False: it is over."""
    if randomness.random() < EARLY:
        return wait(process, randomness.uniform(0, startup)) is None
    wanted = randomness.randint(1, LATEST)
    end = time.monotonic() + LONGEST_OF_TWO
    while iterations_logged(log, begin) < wanted and time.monotonic() < end:
        if wait(process, 0.02) is not None:
            return False
    end = time.monotonic() + randomness.uniform(0, SPAN)
    while time.monotonic() < end and iterations_logged(log, begin) < wanted + LATER:
        if wait(process, 0.005) is not None:
            return False
    return wait(process, 0) is None


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
    loading = loaders(process) if with_loaders else []
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
    if left := still_running(loading, SURVIVAL_OF_LOADERS):
        return f'{who} {name}: {len(left)} loading processes are left'
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


def loaders(rank: int) -> list[int]:
    """Loading processes of a process, by the name that torch gives them.

    There are others beside them: a helper of Python, and git, which mmengine asks for its commit
    whenever it saves a checkpoint.
    """
    found = []
    for child in children(rank):
        try:
            name = Path(f'/proc/{child}/comm').read_text().strip()
        except OSError:
            continue
        if name == 'pt_data_worker':
            found.append(child)
    return found


def is_running(process: int) -> bool:
    try:
        state = Path(f'/proc/{process}/stat').read_text().rpartition(')')[2].split()[0]
    except OSError:
        return False
    return state != 'Z'


def still_running(processes: list[int], seconds: float) -> list[int]:
    """Those that still run after so long; returns at once when none does."""
    end = time.monotonic() + seconds
    while (left := [p for p in processes if is_running(p)]) and time.monotonic() < end:
        time.sleep(0.1)
    return left


def kill_one_of_two(
    launcher: int,
    log: Path,
    begin: int,
    randomness: random.Random,
    *,
    turn: int,
    figures: Figures,
) -> str | None:
    """As :func:`kill_once`, of a training in two processes; all of them must end."""
    if not wait_for_moment(launcher, log, begin, randomness, startup=STARTUP_OF_TWO):
        return None
    who, names = TURNS[turn % len(TURNS)]
    name = randomness.choice(names)
    ranks = children(launcher)
    loading = [loader for rank in ranks for loader in loaders(rank)]
    targets = dict(launcher=[launcher], rank=ranks, loader=loading)[who]
    if not targets:  # an early moment
        who, targets = 'launcher', [launcher]
    try:
        os.kill(randomness.choice(targets), getattr(signal, name))
    except ProcessLookupError:
        return None
    figures.kills[f'{who} of two', name] += 1
    status = wait(launcher, LONGEST)
    left = still_running(ranks, SURVIVAL)
    left += still_running(loading, SURVIVAL_OF_LOADERS)
    left += [launcher] if status is None else []
    for process in left:
        os.kill(process, signal.SIGKILL)
    if status is None:
        os.waitpid(launcher, 0)
    number = getattr(signal, name)
    # of two processes the one that was not killed may be the first to end, and finds the other gone
    is_loss = who == 'loader' or (who, name) == ('rank', 'SIGKILL')
    expected = {0, -number, 128 + number} | ({1} if is_loss else set())
    if left or status not in expected:
        return f'{who} of two {name}: status {status}, {len(left)} processes left'
    return None


def chain_of_two(config: Path, work: Path, seed: int, *, kills: int, figures: Figures) -> dict:
    """As :func:`chain`, of a training in two processes."""
    randomness = random.Random(f'two {seed}')
    options = VARIANTS_OF_TWO[list(VARIANTS_OF_TWO)[seed % len(VARIANTS_OF_TWO)]]
    log = work.with_suffix('.log')
    for turn in range(seed * kills, (seed + 1) * kills):
        begin = log.stat().st_size if log.exists() else 0
        launcher = train_in_two(config, work, *options)
        wrong = kill_one_of_two(launcher, log, begin, randomness, turn=turn, figures=figures)
        if wrong:
            figures.failures.append(f'seed {seed}: {wrong}: {log.read_text()[-2500:]}')
    status = wait(train_in_two(config, work, *options), LONGEST_OF_TWO)
    figures.chains += 1
    if status != 0:
        said = log.read_text()[-2500:]
        figures.failures.append(f'seed {seed} of two: the last run ended with {status}: {said}')
    return toy_run.last_checkpoint(work)


def compare_two(folder: Path, seeds: list[int], *, kills: int) -> Figures:
    """As :func:`compare`, of trainings in two processes."""
    config = write_config(folder)
    figures = Figures()
    expected: dict[int, dict] = {}
    for seed in seeds:
        kind = seed % len(VARIANTS_OF_TWO)
        if kind not in expected:
            alone = folder / f'two_alone{kind}'
            expected[kind] = chain_of_two(config, alone, kind, kills=0, figures=Figures())
        work = folder / f'two_killed{seed}'
        found = chain_of_two(config, work, seed, kills=kills, figures=figures)
        try:
            toy_run.assert_same_state(expected[kind], found)
        except AssertionError as error:
            figures.failures.append(f'seed {seed} of two: not the same bits, {error}')
        print(f'seed {seed} of two: {figures}', flush=True)
    return figures


def compare(folder: Path, seeds: list[int], *, kills: int) -> Figures:
    """Kills trainings with these seeds and compares each with one that was left alone."""
    import openseg_plugin.engine.runner.training  # noqa: F401  the children need not

    torch.optim.SGD([torch.zeros(1)])  # likewise what torch imports for its first optimizer
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

    wanted, per_chain = int(sys.argv[1]), 5
    compare_these = compare_two if sys.argv[2:] == ['two'] else compare
    with tempfile.TemporaryDirectory() as folder:
        figures = compare_these(Path(folder), list(range(wanted // per_chain)), kills=per_chain)
    print(figures)
    print(*figures.failures, sep='\n')


if __name__ == '__main__':
    main()
