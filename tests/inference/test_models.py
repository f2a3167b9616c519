"""inference/models.py: a model from a config, a checkpoint alone, a published file or a name."""

from dataclasses import replace

import numpy as np
import published_ocr
import pytest
import torch
from predictions import labels_in, own_checkpoint, predict

import openseg_plugin
from openseg_plugin.cli.main import main as openseg
from openseg_plugin.cli.main import run
from openseg_plugin.cli.predict import main
from openseg_plugin.cli.test import main as run_test
from openseg_plugin.inference import models
from openseg_plugin.inference.models import resolve
from openseg_plugin.model_zoo.entries import entries


def test_a_checkpoint_with_its_config_inside_needs_nothing_else(toy, tmp_path):
    config, weights, images = toy
    own = own_checkpoint(toy, tmp_path / 'own.pth')
    assert predict(own, images, '--out', tmp_path / 'own') == 0
    assert predict(config, weights, images, '--out', tmp_path / 'pair') == 0
    first, second = labels_in(tmp_path / 'own'), labels_in(tmp_path / 'pair')
    assert all(np.array_equal(first[name], second[name]) for name in second)
    model = openseg_plugin.load(str(own))
    assert model.classes == ['dark', 'middle', 'bright']


def test_options_that_do_not_fit_the_config_inside_cost_one_sentence(toy, tmp_path, capsys):
    own = str(own_checkpoint(toy, tmp_path / 'own.pth', hook='IterTimerHook'))
    for main_of, words in ((main, [str(toy[2]), '--out', str(tmp_path / 'out')]), (run_test, [])):
        assert run(main_of, [own, *words, '--cfg-options', 'model.type.x=1']) == 2
        said = capsys.readouterr().err.strip().splitlines()[-1]
        assert said.startswith(f'error: --cfg-options does not fit {own}: '), said


def test_a_published_file_finds_its_config_by_its_names(tmp_path):
    with published_ocr.shallow_tables():
        path = tmp_path / 'published.pth'
        torch.save(published_ocr.published_weights(published_ocr.filled()), path)
        resolved = resolve(str(path))
    assert resolved.cfg.model.type == 'openseg_plugin.EncoderDecoder'
    assert resolved.cfg.model.decode_head.type == 'openseg_plugin.OCRHead'
    assert 'decode_head.conv_seg.weight' in resolved.weights


@pytest.mark.parametrize('place', ['cache', 'folder of weights get'])
def test_a_name_of_the_model_zoo_is_predicted_and_tested(toy, tmp_path, monkeypatch, place, capsys):
    config, weights, images = toy
    entry = replace(entries()[0], name='toy_zoo', config=str(config), file='toy.pth', options={},
                    sha256=None, sha256_start=None, address=None)  # fmt: skip
    monkeypatch.setattr(models, 'entries', lambda: [entry])
    monkeypatch.setattr(models, 'find', lambda name: entry)
    monkeypatch.setenv('OPENSEG_CACHE', str(tmp_path / 'cache'))
    monkeypatch.chdir(tmp_path)
    file = tmp_path / ('cache' if place == 'cache' else 'weights') / 'toy_zoo/toy.pth'
    file.parent.mkdir(parents=True)
    file.write_bytes(weights.read_bytes())
    assert predict('toy_zoo', images, '--out', 'ours') == 0
    words = ['--out', 'test', '--cfg-options', f'experiment_name={tmp_path.name}']
    assert run(run_test, ['toy_zoo', *words, f'visualizer.name={tmp_path.name}']) == 0
    assert predict(config, 'toy_zoo', images, '--out', 'pair') == 0
    ours, expected = labels_in(tmp_path / 'ours'), labels_in(tmp_path / 'test')
    assert len(ours) == 3 and all(np.array_equal(ours[name], expected[name]) for name in ours)
    pair = labels_in(tmp_path / 'pair')
    assert all(np.array_equal(ours[name], pair[name]) for name in ours)
    file.unlink()
    own = str(own_checkpoint(toy, tmp_path / 'own.pth', hook='IterTimerHook'))
    for verb in ('config', 'flops'):  # no weights are needed
        assert openseg([verb, 'toy_zoo']) == openseg([verb, own]) == 0
        assert openseg([verb, 'toy_zo']) == 2
        assert 'near: toy_zoo' in capsys.readouterr().err
    assert predict('toy_zoo', images, '--out', 'ours') == 2  # nothing is downloaded without address
