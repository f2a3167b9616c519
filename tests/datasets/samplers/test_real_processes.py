"""Samplers in two gloo processes that torchrun started, as ``dist_train.sh`` does."""

import json
import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

pytestmark = pytest.mark.distributed

ROOT = Path(__file__).resolve().parents[3]
TAKEN = 12  # samples per process
START = 6  # samples of both together after which a second pass enters
SCRIPT = """
import itertools, json, sys
import torch.distributed as dist
from mmengine.dataset import ConcatDataset
from mmengine.registry import init_default_scope
from openseg_plugin.datasets.public import CityscapesDataset
from openseg_plugin.datasets.samplers import ClassUniformSampler, FineAndCoarseSampler

root, kind, taken, start = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
init_default_scope('mmseg')
dist.init_process_group('gloo')
parts = ConcatDataset([
    CityscapesDataset(
        data_root=f'{root}/{part}', data_prefix=dict(img_path='image', seg_map_path='label'),
        pipeline=[dict(type='openseg_plugin.LoadLabels')],
    )
    for part in ('fine', 'coarse')
])
# without a seed: the processes must agree on one
sampler = (
    ClassUniformSampler(parts, tile=8) if kind == 'class' else FineAndCoarseSampler(parts)
)

def rows(number):
    return [(int(index), index.position) for index in itertools.islice(sampler, number)]

straight = rows(taken)
sampler.start = start
resumed = rows(taken - start // 2)
with open(f'{root}/{dist.get_rank()}.json', 'w') as file:
    json.dump([straight, resumed], file)
dist.destroy_process_group()
"""


def write_part(root: Path, number: int) -> None:
    for folder in ('image', 'label'):
        (root / folder).mkdir(parents=True)
    for k in range(number):
        label = np.random.default_rng(k).integers(0, 3, (2, 2)).astype(np.uint8)
        cv2.imwrite(str(root / f'label/{k}.png'), label.repeat(8, 0).repeat(8, 1))
        cv2.imwrite(str(root / f'image/{k}.png'), np.zeros((16, 16, 3), np.uint8))


@pytest.mark.parametrize('kind', ['class', 'fine and coarse'])
def test_two_processes_share_one_order_and_enter_it_anywhere(tmp_path, kind):
    for part in ('fine', 'coarse'):
        write_part(tmp_path / part, 5)
    script = tmp_path / 'take.py'
    script.write_text(SCRIPT)
    launch = [sys.executable, '-m', 'torch.distributed.run', '--standalone', '--nproc_per_node=2']
    done = subprocess.run(
        [*launch, script, tmp_path, kind, str(TAKEN), str(START)],
        env={**os.environ, 'PYTHONPATH': str(ROOT), 'OMP_NUM_THREADS': '1'},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    shares = [json.loads((tmp_path / f'{rank}.json').read_text()) for rank in (0, 1)]
    (first, first_resumed), (second, second_resumed) = shares
    positions = [position for pair in zip(first, second) for _, position in pair]
    assert positions == list(range(2 * TAKEN)), 'every place of the order once, in turn'
    assert [index for index, _ in first] != [index for index, _ in second]
    assert (first_resumed, second_resumed) == (first[START // 2 :], second[START // 2 :])
