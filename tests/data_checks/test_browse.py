"""``openseg browse-dataset``: what is shown is what the network gets."""

import re

import numpy as np
import pytest
import toy_run
from PIL import Image

from openseg_plugin.cli.browse_dataset import main
from openseg_plugin.cli.main import run
from openseg_plugin.data_checks.browse import Browser


@pytest.fixture
def config(tmp_path):
    data = toy_run.write_data(tmp_path / 'data', number=4)
    return toy_run.toy_config(tmp_path, data)


def test_page_shows_each_sample_with_its_label_and_loads_nothing(config, tmp_path, capsys):
    assert main([str(config), '--num', '3', '--out', str(tmp_path / 'out')]) == 0
    page = (tmp_path / 'out' / 'index.html').read_text()
    assert page.count('<figure>') == 3 and page.count('alt="overlay"') == 3
    assert re.search(r'train/image/\d\d\.png \(16x12\)', page)
    assert 'http' not in page.replace('http-equiv', '')
    assert str(tmp_path / 'out' / 'index.html') in capsys.readouterr().out


def test_equal_seeds_show_equal_samples_and_val_is_the_image_itself(config, tmp_path):
    for name, seed in (('a', '1'), ('b', '1'), ('c', '2')):
        arguments = [str(config), '--num', '4', '--png', '--seed', seed]
        main([*arguments, '--out', str(tmp_path / name)])
    a, b, c = (
        {p.name: p.read_bytes() for p in sorted((tmp_path / name).iterdir())} for name in 'abc'
    )
    assert a == b and a != c
    sample = next(iter(Browser(str(config), split='val').samples(1, seed=0)))
    assert np.array_equal(sample.image, np.asarray(Image.open(sample.name)))


def test_padding_has_the_mean_and_its_label_is_ignored(config):
    options = {'model.data_preprocessor.size': (20, 24)}
    browser = Browser(str(config), split='train', options=options)
    sample = next(iter(browser.samples(1, seed=0)))
    assert sample.image.shape == (20, 24, 3) and (sample.image[15:, 20:] == 127).all()
    assert (sample.label[15:] == 255).all() and sample.classes[0][0] != ''


def test_stock_dataset_classes_are_shown_too(config, tmp_path):
    kind = 'train_dataloader.dataset.type=BaseSegDataset'
    more = ['train_dataloader.dataset.seg_map_suffix=.png']
    out = str(tmp_path / 'out')
    assert main([str(config), '--num', '2', '--out', out, '--cfg-options', kind, *more]) == 0


def test_split_that_is_not_there_is_one_sentence(config, capsys):
    assert run(main, [str(config), '--split', 'test']) == 2
    assert 'has no test_dataloader: choose another --split' in capsys.readouterr().err
