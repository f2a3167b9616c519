"""Trainings that are killed at random moments end in the same bits as those left alone."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import kills
import pytest
import toy_run


@pytest.mark.parametrize(
    ('seeds', 'each'),
    [([1, 2], 2), pytest.param(list(range(100, 140)), 5, marks=pytest.mark.slow)],
    ids=['few', 'many'],
)
def test_killed_trainings_resume_exactly(tmp_path, seeds, each):
    figures = kills.compare(tmp_path, seeds, kills=each)
    print(figures)
    assert not figures.failures, '\n'.join(figures.failures)
    assert figures.chains == len(seeds)
    assert sum(figures.kills.values()) > len(seeds)


# who gets the signal of two processes and their launcher; all of them must end, and none is lost
KILLED = [('launcher', 'SIGKILL'), ('launcher', 'SIGUSR1'), ('rank', 'SIGKILL'), ('rank', 'SIGHUP')]


@pytest.mark.slow
@pytest.mark.distributed
@pytest.mark.parametrize('seed', range(2))
@pytest.mark.parametrize(('who', 'name'), KILLED)
def test_killed_processes_of_one_training_resume_exactly(tmp_path, seed, who, name):
    randomness = random.Random(seed)
    config = kills.write_config(tmp_path)
    assert launch(config, tmp_path / 'alone').wait(300) == 0
    work = tmp_path / 'work'
    launcher = launch(config, work)
    wait_for_iterations(work, randomness.randint(2, 12), launcher)
    ranks = kills.children(launcher.pid)
    target = launcher.pid if who == 'launcher' else randomness.choice(ranks)
    os.kill(target, getattr(signal, name))
    launcher.wait(60)
    end = time.monotonic() + 40
    while any(map(is_running, ranks)):
        assert time.monotonic() < end, 'a process outlives its launcher'
        time.sleep(0.2)
    assert launch(config, work).wait(300) == 0
    one, other = (toy_run.last_checkpoint(tmp_path / folder) for folder in ('alone', 'work'))
    toy_run.assert_same_state(one, other)


def launch(config: Path, work: Path) -> subprocess.Popen:
    command = ['bash', 'tools/dist_train.sh', config, '2']
    with open(work.with_suffix('.log'), 'a') as log:
        return subprocess.Popen(
            [*command, '--work-dir', work, '--resume', '--verbose'],
            cwd=toy_run.ROOT,
            env={**toy_run.environment(), 'PYTHON': sys.executable},
            stdout=log,
            stderr=log,
        )


def wait_for_iterations(work: Path, number: int, launcher: subprocess.Popen) -> None:
    end = time.monotonic() + 200
    while kills.iterations_logged(work.with_suffix('.log'), 0) < number:
        assert launcher.poll() is None and time.monotonic() < end
        time.sleep(0.05)


def is_running(process: int) -> bool:
    try:
        state = Path(f'/proc/{process}/stat').read_text().rpartition(')')[2].split()[0]
    except FileNotFoundError:
        return False
    return state != 'Z'
