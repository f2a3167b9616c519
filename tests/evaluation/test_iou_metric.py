"""evaluation/iou_metric.py: mmseg's metrics, files, missing labels."""

import csv
import json

import numpy as np
import pytest
import torch
from mmseg.evaluation.metrics import IoUMetric as MMSegIoUMetric
from PIL import Image

from openseg_plugin.errors import ConfigError, DataError
from openseg_plugin.registry import METRICS

META = dict(
    classes=('sky', 'road', 'car', 'tree'),
    palette=[[1, 2, 3], [4, 5, 6], [7, 8, 9], [10, 11, 12]],
)


def sample(name='a', *, label=True, **more):
    result = dict(
        pred_sem_seg=dict(data=torch.randint(0, 4, (1, 12, 15))), img_path=f'x/{name}.jpg', **more
    )
    if label:
        gt = torch.randint(0, 4, (1, 12, 15))
        gt[:, 0] = 255
        result['gt_sem_seg'] = dict(data=gt)
    return result


def build(**options):
    metric = METRICS.build(dict(type='openseg_plugin.IoUMetric', **options))
    metric.dataset_meta = {**META, **options.pop('meta', {})}
    return metric


@pytest.mark.parametrize('names', ['mIoU', ['mIoU', 'mDice', 'mFscore']])
@pytest.mark.parametrize('nan_to_num', [None, 0])
def test_evaluate_gives_mmsegs_metrics_under_mmsegs_names(names, nan_to_num):
    samples = [sample() for _ in range(3)]
    samples[0]['pred_sem_seg']['data'].clamp_(max=2)
    results = []
    for metric in (build(iou_metrics=names, nan_to_num=nan_to_num), stock(names, nan_to_num)):
        for one in samples:
            metric.process({}, [one])
        results.append(metric.evaluate(3))
    assert list(results[0]) == list(results[1])
    for name, value in results[1].items():
        assert results[0][name] == pytest.approx(value, abs=0.011)


def stock(names, nan_to_num):
    metric = MMSegIoUMetric(iou_metrics=names, nan_to_num=nan_to_num, prefix='')
    metric.dataset_meta = META
    return metric


def test_evaluate_with_more_records_than_images_drops_the_repeated_ones():
    first, second = sample('a'), sample('b')
    metric = build()
    metric.process({}, [first, second])
    expected = metric.evaluate(2)
    metric.process({}, [first, second, first])
    assert metric.evaluate(2) == expected


def test_process_with_prefix_names_the_metrics_with_it():
    metric = build(prefix='val')
    metric.process({}, [sample()])
    assert set(metric.evaluate(1)) == {'val/aAcc', 'val/mIoU', 'val/mAcc'}


@pytest.mark.parametrize('shift', [False, True])
def test_process_with_output_dir_writes_palette_pngs(tmp_path, shift):
    metric = build(output_dir=str(tmp_path / 'new'), format_only=True)
    one = sample('street', label=False, reduce_zero_label=shift)
    metric.process({}, [one])
    assert metric.evaluate(1) == {}
    image = Image.open(tmp_path / 'new' / 'street.png')
    expected = one['pred_sem_seg']['data'][0].numpy() + int(shift)
    assert np.array_equal(np.asarray(image), expected)
    colors = np.array(META['palette'])[expected - int(shift)]
    assert np.array_equal(np.asarray(image.convert('RGB')), colors)
    assert [file.name for file in (tmp_path / 'new').iterdir()] == ['street.png']


def test_process_with_label_ids_writes_them(tmp_path):
    metric = build(output_dir=str(tmp_path), use_label_ids=True)
    metric.dataset_meta = {**META, 'label_ids': (7, 11, 26, 33)}
    one = sample()
    metric.process({}, [one])
    written = np.asarray(Image.open(tmp_path / 'a.png'))
    assert np.array_equal(written, np.array([7, 11, 26, 33])[one['pred_sem_seg']['data'][0]])


def test_process_with_label_ids_that_nobody_names_is_refused(tmp_path):
    with pytest.raises(ConfigError, match='names no label ids'):
        build(output_dir=str(tmp_path), use_label_ids=True).process({}, [sample()])


def test_evaluate_without_labels_gives_no_metrics():
    metric = build()
    metric.process({}, [sample(label=False), sample(label=False)])
    assert metric.evaluate(2) == {}


def test_process_with_a_label_outside_the_classes_names_the_file():
    one = sample(seg_map_path='labels/a.png')
    one['gt_sem_seg']['data'][0, 3, :2] = 9
    with pytest.raises(DataError, match=r'labels/a.png: .* 9 \(2 pixels\)'):
        build().process({}, [one])


def test_evaluate_with_report_dir_writes_csv_and_json(tmp_path):
    metric = build(report_dir=str(tmp_path / 'report'))
    one = sample()
    one['pred_sem_seg']['data'].clamp_(max=2)
    one['gt_sem_seg']['data'][one['gt_sem_seg']['data'] == 3] = 0  # the last class never occurs
    metric.process({}, [one])
    metrics = metric.evaluate(1)
    content = json.loads((tmp_path / 'report' / 'metrics.json').read_text())
    assert content['means'] == metrics
    with open(tmp_path / 'report' / 'per_class.csv', newline='') as file:
        rows = list(csv.DictReader(file))
    assert [row['Class'] for row in rows] == list(META['classes'])
    assert rows[3]['IoU'] == ''
    assert content['classes'][3]['IoU'] is None
    assert float(rows[0]['IoU']) == content['classes'][0]['IoU']


def test_build_with_an_unknown_metric_is_refused():
    with pytest.raises(ConfigError, match='mIou'):
        build(iou_metrics=['mIou'])


def test_build_with_format_only_and_no_folder_is_refused():
    with pytest.raises(ConfigError, match='output_dir'):
        build(format_only=True)


def test_rows_of_classes_with_one_name_say_which_is_which(tmp_path):
    metric = build()
    metric.report_dir = str(tmp_path)
    metric.dataset_meta = {**META, 'classes': ('box', 'sky', 'box', 'road')}
    metric.process({}, [sample()])
    metric.evaluate(1)
    expected = ['box (0)', 'sky', 'box (2)', 'road']
    content = json.loads((tmp_path / 'metrics.json').read_text())
    assert [row['Class'] for row in content['classes']] == expected
    rows = (tmp_path / 'per_class.csv').read_text().splitlines()[1:]
    assert [row.partition(',')[0] for row in rows] == expected
