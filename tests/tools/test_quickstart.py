"""The README's first command, as a stranger runs it, and once more."""

import csv
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
from mmengine.config import Config

PROJECT = Path(__file__).parents[2]


def quickstart(folder: Path) -> tuple[str, float]:
    """Output and seconds of a run that takes the running Python as its environment."""
    environment = {**os.environ, 'OPENSEG_PYTHON': sys.executable, 'QUICKSTART_DIR': str(folder)}
    started = time.monotonic()
    command = ['bash', str(PROJECT / 'tools' / 'quickstart.sh')]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, cwd=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout, time.monotonic() - started


def unlearned_classes(table: Path) -> list[str]:
    """Classes of more than 0.5 % of the labelled pixels with an IoU of 0."""
    with table.open(newline='', encoding='utf-8') as file:
        rows = [
            (row['class'], row['IoU'], int(row['labelled_pixels'])) for row in csv.DictReader(file)
        ]
    assert rows
    total = sum(pixels for *_, pixels in rows)
    return [name for name, iou, pixels in rows if pixels > 0.005 * total and float(iou) == 0]


@pytest.mark.slow
def test_quickstart_beats_the_baseline_and_then_reuses_everything(tmp_path):
    output, first = quickstart(tmp_path)
    mean = next(line for line in output.splitlines() if line.startswith('mean IoU')).split()
    single, augmented, baseline = map(float, mean[2:])
    assert min(single, augmented) > max(30, 8 * baseline)
    for file in ('per_class.csv', 'samples.png', 'predictions', 'images'):
        assert (tmp_path / file).exists()
        assert f'{file}\n' in output or file == 'predictions'
    assert not unlearned_classes(tmp_path / 'report/per_class.csv')
    assert (tmp_path / 'report/index.html').exists() and 'report/index.html' in output
    metrics = json.loads((tmp_path / 'test/metrics.json').read_text())
    assert metrics['means']['mIoU'] == pytest.approx(single, abs=0.01)
    again, second = quickstart(tmp_path)
    assert 'Trained already' in again and again.count('Tested already') == 2
    assert second < first / 5
    assert mean == next(line for line in again.splitlines() if line.startswith('mean IoU')).split()
    next((tmp_path / 'images').iterdir()).unlink()
    redone, _ = quickstart(tmp_path)
    assert 'Trained already' in redone and redone.count('Tested already') == 1


def test_script_finds_the_number_of_steps_that_its_config_trains():
    text = (PROJECT / 'tools/quickstart.sh').read_text()
    pattern, file = re.search(r"ITERATIONS=\$\(sed -n 's\|(.*?)\|\|p' (\S+)\)", text).groups()
    (line,) = [x for x in (PROJECT / file).read_text().splitlines() if re.match(pattern, x)]
    cfg = Config.fromfile(PROJECT / 'configs/ocr/hrnet18_synth_quickstart.py')
    assert re.sub(pattern, '', line) == str(cfg.train_cfg.max_iters)
