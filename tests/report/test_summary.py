import json

import numpy as np
import pytest
from PIL import Image

from openseg_plugin.report.summary import main


@pytest.fixture
def tested(tmp_path):
    """Five tested 8x10 scenes of two classes; a third class occurs nowhere."""
    data, work = tmp_path / 'data', tmp_path / 'work'
    rng = np.random.default_rng(0)
    for folder in (data / 'val/image', data / 'val/label', work / 'predictions'):
        folder.mkdir(parents=True)
    for name in 'abcde':
        label = rng.integers(0, 2, (8, 10)).astype(np.uint8)
        Image.fromarray(rng.integers(0, 255, (8, 10, 3), np.uint8)).save(
            data / f'val/image/{name}.png'
        )
        Image.fromarray(label).save(data / f'val/label/{name}.png')
        Image.fromarray(label).save(work / f'predictions/{name}.png')
    description = dict(classes=['road', 'sky', 'car'], palette=[[9, 9, 9], [1, 2, 3], [4, 5, 6]])
    (data / 'dataset.json').write_text(json.dumps(description))
    for test, iou in (('test', 50.0), ('test_aug', 60.5)):
        classes = [
            dict(Class='road', IoU=iou),
            dict(Class='sky', IoU=iou),
            dict(Class='car', IoU=None),
        ]
        (work / test).mkdir()
        content = dict(means=dict(mIoU=iou, aAcc=90.0), classes=classes)
        (work / test / 'metrics.json').write_text(json.dumps(content))
    return data, work


def arguments(data, work) -> list[str]:
    return [str(work), '--data', str(data), '--predictions', str(work / 'predictions')]


def test_summary_prints_tests_beside_the_baseline(tested, capsys):
    assert main(arguments(*tested)) == 0
    text = capsys.readouterr().out
    mean = next(line for line in text.splitlines() if line.startswith('mean IoU')).split()
    assert mean[2:4] == ['50.00', '60.50']
    assert 20 < float(mean[4]) < 30  # about half the pixels, over two classes
    assert 'car' not in text


def test_summary_writes_table_and_sheet(tested, capsys):
    data, work = tested
    assert main(arguments(data, work)) == 0
    assert (work / 'per_class.csv').read_text().splitlines() == [
        'class,test,test_aug',
        'road,50.0,60.5',
        'sky,50.0,60.5',
        'car,,',
    ]
    with Image.open(work / 'samples.png') as sheet:
        assert sheet.width == 4 * 320 + 3 * 6
    assert str(work / 'samples.png') in capsys.readouterr().out


def test_summary_without_metrics_is_one_sentence(tested, capsys):
    data, work = tested
    (work / 'test/metrics.json').unlink()
    assert main(arguments(data, work)) == 2
    assert 'metrics.json cannot be read' in capsys.readouterr().err


def test_summary_without_a_prediction_names_it(tested, capsys):
    data, work = tested
    for path in (work / 'predictions').iterdir():
        path.unlink()
    assert main(arguments(data, work)) == 2
    assert '.png cannot be read' in capsys.readouterr().err
