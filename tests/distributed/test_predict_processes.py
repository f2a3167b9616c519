"""``openseg predict`` under torchrun: files are shared; what a dead process left is made up."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
import toy_run
from toy_test_set import write_test_set

pytestmark = [pytest.mark.distributed, pytest.mark.slow]

IMAGES = 24
SECONDS = 240  # nothing may hang


@pytest.fixture(scope='module')
def toy(tmp_path_factory) -> tuple[Path, Path, Path]:
    folder = tmp_path_factory.mktemp('toy')
    config, weights = write_test_set(folder, number=1)
    (folder / 'images').mkdir()
    rng = np.random.default_rng(0)
    for i in range(IMAGES):
        cv2.imwrite(str(folder / f'images/{i:02}.png'), rng.integers(0, 256, (48, 64, 3), np.uint8))
    return config, weights, folder / 'images'


def start(toy: tuple[Path, Path, Path], out: Path, *, processes: int) -> subprocess.Popen:
    with socket.socket() as free:
        free.bind(('127.0.0.1', 0))
        port = free.getsockname()[1]
    launcher = [sys.executable, '-m', 'torch.distributed.run', f'--nproc_per_node={processes}']
    verb = ['-m', 'openseg_plugin', 'predict', *map(str, toy), '--out', str(out)]
    return subprocess.Popen(
        [*launcher, f'--master_port={port}', *verb, '--launcher', 'pytorch', '--device', 'cpu'],
        cwd=toy_run.ROOT,
        env=toy_run.environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def labels(folder: Path) -> dict[str, np.ndarray]:
    return {path.name: cv2.imread(str(path), 0) for path in sorted(folder.glob('*.png'))}


def test_two_processes_write_what_one_writes(toy, tmp_path):
    for processes in (1, 2):
        run = start(toy, tmp_path / str(processes), processes=processes)
        assert run.wait(SECONDS) == 0, run.stdout.read()
    one, two = labels(tmp_path / '1'), labels(tmp_path / '2')
    assert len(one) == IMAGES and one.keys() == two.keys()
    assert all(np.array_equal(one[name], two[name]) for name in one)


def test_a_process_that_dies_ends_the_run_and_a_second_run_makes_the_rest(toy, tmp_path):
    run = start(toy, tmp_path / 'out', processes=2)
    workers: list[int] = []
    until = time.monotonic() + SECONDS
    while len(workers) < 2 and time.monotonic() < until:
        found = subprocess.run(['pgrep', '-P', str(run.pid)], capture_output=True, text=True)
        workers = [int(word) for word in found.stdout.split()]
        time.sleep(0.1)
    os.kill(workers[0], signal.SIGKILL)
    assert run.wait(SECONDS) != 0
    assert len(labels(tmp_path / 'out')) < IMAGES
    again = start(toy, tmp_path / 'out', processes=2)
    assert again.wait(SECONDS) == 0, again.stdout.read()
    assert len(labels(tmp_path / 'out')) == IMAGES
