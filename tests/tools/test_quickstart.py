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


@pytest.mark.slow(minutes=9)
def test_quickstart_beats_the_baseline_and_then_reuses_everything(tmp_path):
    output, first = quickstart(tmp_path)
    baseline = float(re.search(r'^baseline: mIoU (\S+)', output, re.MULTILINE)[1])
    for name in ('test', 'test_aug'):
        means = json.loads((tmp_path / name / 'metrics.json').read_text())['means']
        assert means['mIoU'] > max(40, 8 * baseline)
        assert f'{means["mIoU"]:.2f}' in output
    assert len(list((tmp_path / 'images').iterdir())) == 24
    assert (tmp_path / 'predictions').exists()
    assert not unlearned_classes(tmp_path / 'report/per_class.csv')
    page = tmp_path / 'report/index.html'
    assert page.exists() and output.rstrip().endswith(str(page))
    again, second = quickstart(tmp_path)
    assert 'Trained already' in again and again.count('Tested already') == 2
    assert second < first / 5
    shown = output[output.index('On 24 scenes') :], again[again.index('On 24 scenes') :]
    assert shown[0] == shown[1]
    next((tmp_path / 'images').iterdir()).unlink()
    redone, _ = quickstart(tmp_path)
    assert 'Trained already' in redone and redone.count('Tested already') == 1


def test_script_finds_the_number_of_iterations_that_its_config_trains():
    text = (PROJECT / 'tools/quickstart.sh').read_text()
    pattern, file = re.search(r"ITERATIONS=\$\(sed -n 's\|(.*?)\|\|p' (\S+)\)", text).groups()
    (line,) = [x for x in (PROJECT / file).read_text().splitlines() if re.match(pattern, x)]
    cfg = Config.fromfile(PROJECT / 'configs/ocr/hrnet18_synth_quickstart.py')
    assert re.sub(pattern, '', line) == str(cfg.train_cfg.max_iters)
