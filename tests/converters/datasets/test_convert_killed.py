"""Conversions that are ended from outside, or run out of disk, in real processes."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from PIL import Image
from tiny_sets import image, numbers, save

from openseg_plugin.utils import files

TOOL = Path(__file__).parents[3] / 'tools/convert_dataset.py'
NUMBER = 2000  # several seconds: on a busy machine the signal may come late
MOUNT = ('unshare', '-rm', 'bash', '-c')


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    """Enough images that the run can be ended half-way; all are links to two files."""
    root = tmp_path / 'raw'
    source = save(tmp_path / 'image.png', image(size=(96, 128)))
    label = save(tmp_path / 'label.png', numbers(33, size=(96, 128)))
    for folder in ('leftImg8bit', 'gtFine'):
        (root / folder / 'train/aachen').mkdir(parents=True)
    for k in range(NUMBER):
        stem = f'train/aachen/aachen_{k:06d}_000019'
        os.link(source, root / f'leftImg8bit/{stem}_leftImg8bit.png')
        os.link(label, root / f'gtFine/{stem}_gtFine_labelIds.png')
    return root


def arguments(raw: Path, dst: Path) -> list[str]:
    command = [sys.executable, str(TOOL), 'cityscapes', str(raw), str(dst), '--split', 'train']
    return [*command, '--workers', '2']


def below(pid: int) -> list[int]:
    """Processes that a process started, and those that they started."""
    found = []
    for task in Path(f'/proc/{pid}/task').glob('*/children'):
        for child in map(int, task.read_text().split()):
            found += [child, *below(child)]
    return found


def is_running(pid: int) -> bool:
    try:
        return ') Z' not in Path(f'/proc/{pid}/stat').read_text()
    except FileNotFoundError:
        return False


def whole_files(dst: Path) -> int:
    found = list(dst.glob('train/*/*.png'))
    for path in found:
        with Image.open(path) as opened:
            opened.load()
    return len(found)


@pytest.mark.slow
@pytest.mark.skipif(not Path('/proc/self/task').is_dir(), reason='needs /proc to find processes')
@pytest.mark.parametrize(
    'number, status', [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGKILL, -9)]
)
def test_run_that_is_ended_leaves_whole_files_and_no_processes(
    raw: Path, tmp_path: Path, number: signal.Signals, status: int
) -> None:
    dst = tmp_path / 'dst'
    run = subprocess.Popen(arguments(raw, dst), stderr=subprocess.DEVNULL)
    until = time.monotonic() + 120
    while len(list(dst.glob('train/label/*.png'))) < 16 and time.monotonic() < until:
        time.sleep(0.02)
    started = below(run.pid)
    run.send_signal(number)
    assert run.wait(timeout=60) == status and started
    while any(map(is_running, started)) and time.monotonic() < until:
        time.sleep(0.05)
    assert not any(map(is_running, started))
    assert 2 * 16 <= whole_files(dst) < 2 * NUMBER
    splits = json.loads((dst / 'dataset.json').read_text())['splits']
    assert splits == {'train': {'complete': False}}
    again = subprocess.run(
        arguments(raw, dst), capture_output=True, text=True, timeout=120, check=True
    )
    made = int(again.stdout.splitlines()[-1].split()[0])
    assert 0 < made <= NUMBER - 16 and f'{NUMBER - made} were there, 0 failed' in again.stdout
    assert whole_files(dst) == 2 * NUMBER and not (dst / files.PARTIAL).exists()


def can_mount() -> bool:
    try:
        tried = subprocess.run(
            [*MOUNT, 'mount -t tmpfs none /mnt'], capture_output=True, check=False
        )
    except OSError:
        return False
    return tried.returncode == 0


@pytest.mark.skipif(not can_mount(), reason='may not mount a small disk here')
def test_disk_that_is_full_half_way_and_a_read_only_one(raw: Path, tmp_path: Path) -> None:
    """The write limit of test_convert_hard_limits.py stands for this where disks cannot be made."""
    disk = tmp_path / 'disk'
    disk.mkdir()
    words = ' '.join(arguments(raw, disk / 'dst'))
    script = f"""mount -t tmpfs -o size=2m none {disk} && exec 2>&1
    {words}; echo status $?; ls {disk}/dst/train/image | wc -l; ls {disk}/dst/train/label | wc -l
    find {disk} -path '*{files.PARTIAL}*' | wc -l
    mount -o remount,ro {disk}; {words}; echo status $?
    mount -o remount,rw,size=99m {disk}; {words}; echo status $?"""
    done = subprocess.run([*MOUNT, script], capture_output=True, text=True, timeout=240, check=True)
    lines = done.stdout.splitlines()
    errors = [line for line in lines if line.startswith('error:')]
    assert 'no space is left on its disk' in errors[0] and 'read-only file system' in errors[1]
    assert [line for line in lines if line.startswith('status')] == [
        'status 2',
        'status 2',
        'status 0',
    ]
    images, labels, partial = (int(line) for line in lines if line.strip().isdigit())
    assert 0 < labels <= images < NUMBER and partial == 0
    assert lines[-2].endswith('were there, 0 failed')
