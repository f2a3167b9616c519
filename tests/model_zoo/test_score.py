"""``openseg weights score``: a published file tested as its authors did, beside their metrics."""

import pickle
import re

import numpy as np
import pytest
from parity import catalog, stored
from PIL import Image

from openseg_plugin.cli.main import run
from openseg_plugin.model_zoo.entries import NOT_OURS, entries, find, protocols

NAME = 'fcn_hrnetw18_cityscapes_1024x512_80k'


@pytest.fixture
def cityscapes(tmp_path):
    """Two drawn street scenes as ``convert-dataset`` writes Cityscapes; the labels of val."""
    draw = ['--train', '1', '--val', '2', '--size', '64', '128', '--workers', '1']
    assert run('openseg_plugin.cli.synth', [str(tmp_path / 'RAW'), *draw]) == 0
    target = tmp_path / 'data' / 'cityscapes'
    arguments = ['cityscapes', str(tmp_path / 'RAW'), str(target)]
    assert run('openseg_plugin.cli.convert_dataset', arguments) == 0
    return [np.array(Image.open(path)) for path in sorted((target / 'val/label').rglob('*.png'))]


def file_that_says_road(path):
    """A file of the entry's network whose logits are largest for class 0 everywhere."""
    fixture = stored.read(catalog.files()['paddleseg', 'fcn_hrnet_w18'], 'paddleseg')
    weights = stored.state_dict(fixture)
    weights['head.cls.weight'][:] = 0
    weights['head.cls.bias'][:] = np.arange(19) == 0
    path.write_bytes(pickle.dumps(weights, protocol=4))
    return path


def test_published_and_measured_metrics_stand_side_by_side(
    cityscapes, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    file = file_that_says_road(tmp_path / 'model.pdparams')
    loader = ['--cfg-options', 'test_dataloader.num_workers=0']
    words = ['score', NAME, '--data-root', str(tmp_path / 'data'), '--checkpoint', str(file)]
    monkeypatch.setenv('DATA_ROOT', '')  # so that what the command sets is taken back
    assert run('openseg_plugin.cli.weights', [*words, '--protocol', 'one', *loader,
               'test_dataloader.persistent_workers=False']) == 0  # fmt: skip
    title, header, *lines = capsys.readouterr().out.splitlines()[-3:]
    assert title == f'{NAME}, Cityscapes'
    assert header.split() == ['protocol', 'metric', 'published', 'measured', 'difference']
    labels = np.concatenate([label.ravel() for label in cityscapes])
    labels = labels[labels != 255]
    # the other classes of the labels have no intersection, those of neither do not count
    expected = 100 * np.mean(labels == 0) / len(np.unique(labels))
    (line,) = lines
    numbers = [float(number) for number in re.findall(r'[-+]?\d+\.\d+', line)]
    published = find(NAME).miou
    assert line.startswith('one view') and ' mIoU ' in line
    assert numbers == pytest.approx([published, expected, expected - published], abs=0.006)


def test_what_cannot_be_scored_is_said_before_anything_is_read(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    refused = {
        'no_such_file': 'the model zoo has no no_such_file',
        'openseg_segfix_hrnet48_cityscapes': 'authors state no metric that a test here gives',
        'ocrnet_hrnetw48_mapillary': 'it is no network to be tested',
        f'{NAME} --protocol crops': 'has no protocol crops: it has "one view", "several views"',
        f'{NAME} --data-root nowhere': '--data-root nowhere: there is no such folder',
        f'{NAME} --checkpoint none.pdparams': 'none.pdparams does not exist',
        'openseg_ocr_hrnet48_cityscapes': 'download it by hand',
    }
    for words, said in refused.items():
        assert run('openseg_plugin.cli.weights', ['score', *words.split()]) == 2, words
        assert said in capsys.readouterr().err, words
    assert not list(tmp_path.iterdir())


def test_every_published_metric_belongs_to_one_protocol():
    for entry in entries():
        stated = [entry.miou, entry.miou_ms, entry.miou_crop, entry.pix_acc, entry.pix_acc_crop]
        is_tested = entry.use == 'test' and entry.data not in NOT_OURS
        found = [value for one in protocols(entry) for value in one.published.values()]
        expected = [value for value in stated if value is not None] if is_tested else []
        assert sorted(found) == sorted(expected), entry.name
        assert all('--aug-test' in one.words for one in protocols(entry)
                   if one.name == 'several views'), entry.name  # fmt: skip
