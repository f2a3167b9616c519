"""Two processes evaluate five images: every one counted once, although one is repeated."""

import json
import subprocess
import sys

import numpy as np
import pytest
from toy_run import ROOT, environment
from toy_test_set import write_test_set

from openseg_plugin.cli import test as testing
from openseg_plugin.cli.main import run
from openseg_plugin.report.results import read_results

pytestmark = pytest.mark.distributed


@pytest.mark.slow
@pytest.mark.parametrize('batch', [1, 2])
def test_two_processes_with_augmentation_find_the_metrics_of_one(tmp_path, batch):
    files = [str(file) for file in write_test_set(tmp_path)]
    options = ['--aug-test', '--cfg-options', f'test_dataloader.batch_size={batch}']
    one, two = tmp_path / 'one', tmp_path / 'two'
    words = ['--work-dir', str(one), '--report', str(one / 'report')]
    assert run(testing.main, [*files, *words, *options]) == 0
    command = [
        'bash',
        ROOT / 'tools/dist_test.sh',
        *files,
        '2',
        '--out',
        two / 'out',
        '--work-dir',
        two,
        '--report',
        two / 'report',
    ]
    done = subprocess.run(
        [*map(str, command), *options],
        cwd=tmp_path,
        env={**environment(), 'PYTHON': sys.executable},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    metrics = [json.loads((w / 'test_aug' / 'metrics.json').read_text()) for w in (one, two)]
    assert metrics[0] == metrics[1]
    reports = [read_results(work / 'report') for work in (one, two)]
    assert [[image.name for image in report.images] for report in reports] == [
        [f'{k:02}' for k in range(5)]
    ] * 2
    assert np.array_equal(*(report.totals().confusion for report in reports))
    assert not (tmp_path / '.dist_test').exists()
    assert metrics[0]['means']['mIoU'] > 0
    assert sorted(file.name for file in (two / 'out').iterdir()) == [
        f'{k:02}.png' for k in range(5)
    ]
