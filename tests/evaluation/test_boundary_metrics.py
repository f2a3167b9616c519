"""evaluation/boundary_metrics.py: metrics, several processes, missing labels, wrong options."""

import json
import os
import subprocess
import sys
from pathlib import Path

import fixture_files
import numpy as np
import pytest
import torch
from in_one_test import in_one_test

from openseg_plugin.errors import ConfigError
from openseg_plugin.evaluation.boundary import (
    boundary_areas,
    boundary_f_scores,
    boundary_width,
    trimap_areas,
)
from openseg_plugin.registry import METRICS

CLASSES = ('sky', 'road', 'car', 'tree')
ALL = [
    dict(type='BoundaryF', thresholds=[1, 3]),
    dict(type='BoundaryIoU', dilation_ratio=0.05),
    dict(type='TrimapIoU', widths=[1, 4]),
]


def sample(seed, shape=(24, 30), label=True):
    rng = np.random.default_rng(seed)
    small = rng.integers(0, 4, [-(-side // 6) for side in shape])
    gt = small.repeat(6, 0).repeat(6, 1)[: shape[0], : shape[1]]
    result = dict(pred_sem_seg=dict(data=torch.from_numpy(np.roll(gt, 1, 1)[None].copy())))
    if label:
        gt = gt.copy()
        gt[:2] = 255
        result['gt_sem_seg'] = dict(data=torch.from_numpy(gt[None]))
    return result


def pair(one):
    return one['pred_sem_seg']['data'][0].numpy(), one['gt_sem_seg']['data'][0].numpy()


def build(type, **options):
    metric = METRICS.build(dict(type=f'openseg_plugin.{type}', **options))
    metric.dataset_meta = dict(classes=CLASSES)
    return metric


def evaluated(metric, samples):
    for one in samples:
        metric.process({}, [one])
    return metric.evaluate(len(samples))


def test_boundary_f_is_the_mean_over_images_then_classes():
    samples = [sample(seed) for seed in range(3)]
    found = evaluated(build('BoundaryF', thresholds=2), samples)
    scores = [boundary_f_scores(*pair(one), 4, radius=2)[:, 2] for one in samples]
    assert found == {'mBF': pytest.approx(100 * np.mean(scores))}


@pytest.mark.parametrize(('definition', 'radius'), [('openseg', 1), ('nvidia', 5)])
def test_boundary_f_by_definition_has_its_default_radius(definition, radius):
    one = sample(0, shape=(360, 480))
    found = evaluated(build('BoundaryF', definition=definition), [one])
    expected = boundary_f_scores(*pair(one), 4, radius=radius)[:, 2].mean()
    assert found['mBF'] == pytest.approx(100 * expected)


def test_boundary_iou_adds_areas_over_the_images():
    samples = [sample(seed) for seed in range(3)]
    found = evaluated(build('BoundaryIoU', dilation_ratio=0.05), samples)
    width = boundary_width(0.05, (24, 30))
    areas = sum(boundary_areas(*pair(one), 4, width=width) for one in samples)
    assert width == 2
    assert found == {'mBIoU': pytest.approx(100 * np.mean(areas[0] / areas[1]))}


def test_trimap_iou_has_a_metric_per_width():
    samples = [sample(seed) for seed in range(3)]
    found = evaluated(build('TrimapIoU', widths=[1, 4]), samples)
    for width in (1, 4):
        areas = sum(trimap_areas(*pair(one), 4, width=width) for one in samples)
        assert found[f'mTIoU@{width}'] == pytest.approx(100 * np.mean(areas[0] / areas[1]))
    assert found['mTIoU@4'] > found['mTIoU@1']


@pytest.mark.parametrize('options', ALL, ids=lambda options: options['type'])
def test_evaluate_of_a_perfect_prediction_is_100_without_the_absent_classes(options):
    one = sample(0)
    one['pred_sem_seg']['data'] = one['gt_sem_seg']['data'].clone()
    one['gt_sem_seg']['data'][one['gt_sem_seg']['data'] == 3] = 255
    assert set(evaluated(build(**options), [one]).values()) == {100}


@pytest.mark.parametrize('options', ALL, ids=lambda options: options['type'])
def test_evaluate_does_not_depend_on_the_order_and_drops_repeated_images(options):
    samples = [sample(seed) for seed in range(5)]
    metric = build(**options)
    expected = evaluated(metric, samples)
    assert evaluated(metric, samples[::-1]) == expected
    for one in [*samples, samples[0]]:
        metric.process({}, [one])
    assert metric.evaluate(5) == expected


@pytest.mark.parametrize('options', ALL, ids=lambda options: options['type'])
def test_evaluate_without_labels_gives_no_metrics(options):
    metric = build(**options)
    assert evaluated(metric, [sample(0, label=False)]) == {}
    assert evaluated(metric, [sample(0), sample(1, label=False)]) == evaluated(metric, [sample(0)])


@in_one_test(
    'options',
    [
        dict(type='BoundaryF', definition='davis'),
        dict(type='BoundaryF', thresholds=[]),
        dict(type='BoundaryF', thresholds=[3, 0]),
        dict(type='BoundaryIoU', dilation_ratio=0),
        dict(type='TrimapIoU', widths=[]),
        dict(type='TrimapIoU', widths=[0]),
    ],
    ids=str,
)
def test_build_with_an_impossible_option_is_refused(options):
    with pytest.raises(ConfigError, match='needed'):
        build(**options)


def stored_f_scores():
    """Stored results of NVIDIA's f_boundary, if they are here."""
    return [folder / 'f_boundary.npz' for folder in fixture_files.fixture_dirs('nvidia')]


@pytest.mark.parametrize('path', [path for path in stored_f_scores() if path.is_file()], ids=str)
def test_boundary_f_of_stored_maps_is_nvidias(path):
    with np.load(path) as stored:
        results = json.loads(str(stored['meta']))['results']
        labels = {key.removeprefix('gt_'): stored[key] for key in stored.files if 'gt_' in key}
    assert results
    for key, expected in results.items():
        image, shift, threshold = key.split('/')
        label = labels[image]
        steps = tuple(int(step) for step in shift.removeprefix('shift=').split(','))
        prediction = np.roll(label, steps, (0, 1))
        one = dict(
            pred_sem_seg=dict(data=torch.from_numpy(np.where(prediction == 11, 0, prediction))),
            gt_sem_seg=dict(data=torch.from_numpy(label)),
        )
        thresholds = float(threshold.removeprefix('th='))
        metric = build('BoundaryF', thresholds=thresholds, ignore_index=11)
        metric.dataset_meta = dict(classes=[str(number) for number in range(11)])
        assert evaluated(metric, [one])['mBF'] == pytest.approx(100 * np.mean(expected['F'])), key


SHARE = """
import json, sys
import torch.distributed as dist
from evaluation.test_boundary_metrics import ALL, build, sample
rank, world, store = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
dist.init_process_group('gloo', init_method=f'file://{store}', rank=rank, world_size=world)
samples = [sample(seed) for seed in range(5)]
part = [samples[(rank + world * turn) % 5] for turn in range(-(-5 // world))]  # padded
found = {}
for options in ALL:
    metric = build(**options)
    for one in part:
        metric.process({}, [one])
    found |= metric.evaluate(5)
if rank == 0:
    print(json.dumps(found))
dist.destroy_process_group()  # or threads that still run may end the process with an abort
"""


@pytest.mark.distributed
def test_evaluate_by_two_processes_equals_one(tmp_path):
    tests = Path(__file__).parents[1]
    environment = {
        **os.environ,
        'PYTHONPATH': f'{tests.parent}:{tests}:{tests}/helpers',
        'OMP_NUM_THREADS': '1',
    }
    processes = [
        subprocess.Popen(
            [sys.executable, '-c', SHARE, str(rank), '2', str(tmp_path / 'store')],
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )
        for rank in range(2)
    ]
    printed = [process.communicate(timeout=100)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0]
    samples = [sample(seed) for seed in range(5)]
    expected = {}
    for options in ALL:
        expected |= evaluated(build(**options), samples)
    assert json.loads(printed[0].splitlines()[-1]) == expected
