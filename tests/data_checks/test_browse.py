"""``openseg browse-dataset``: what is shown is what the network gets."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
import toy_run
from PIL import Image

from openseg_plugin.cli.browse_dataset import main
from openseg_plugin.cli.main import run
from openseg_plugin.config.loading import load_config
from openseg_plugin.data_checks.browse import Browser, write_page
from openseg_plugin.report.drawing import blend, class_colors
from openseg_plugin.report.page import asset


@pytest.fixture
def config(tmp_path):
    data = toy_run.write_data(tmp_path / 'data', number=4)
    return toy_run.toy_config(tmp_path, data)


def test_page_shows_each_sample_with_its_label_and_loads_nothing(config, tmp_path, capsys):
    assert main([str(config), '--num', '3', '--out', str(tmp_path / 'out')]) == 0
    page = (tmp_path / 'out' / 'index.html').read_text()
    assert page.count('<figure') == 3 and page.count('title="overlay"') == 3
    assert re.search(r'train/image/\d\d\.png \(16x12\)', page)
    assert 'http' not in page.replace('http-equiv', '')
    assert str(tmp_path / 'out' / 'index.html') in capsys.readouterr().out


def test_page_is_one_of_the_pages_with_a_legend_and_texts_that_name_the_sample(config, tmp_path):
    browser = Browser(load_config(str(config)), split='val', name='toy')
    (sample,) = browser.samples(1, seed=0)
    sample.label[:2] = 255
    page = write_page(tmp_path / 'out', browser, [sample], title='val samples').read_text()
    assert '<link rel="stylesheet" href="assets/page.css">' in page and 'id="theme"' in page
    assert (tmp_path / 'out/assets/page.css').read_text() == asset('page.css')
    for what in ('image', 'label', 'overlay'):
        assert f'alt="{what} of {sample.name}"' in page
    legend = page[page.index('id="classes"') : page.index('id="samples"')]
    for name, color in zip(browser.classes, ('#000000', '#5a5a5a', '#b4b4b4'), strict=True):
        assert re.search(f'background:{color}"></span>{name} <small>[0-9.]+ %', legend), name
    assert re.search(r'swatch hatch"></span>ignored <small>16.67 %', legend)


def test_overlay_is_the_one_of_all_pages(config):
    browser = Browser(load_config(str(config)), split='val', name='toy')
    (sample,) = browser.samples(1, seed=0)
    palette = ((0, 0, 0), (90, 90, 90), (180, 180, 180))
    expected = blend(sample.image, class_colors(sample.label, palette), opacity=0.5)
    assert np.array_equal(browser.overlay(sample), expected)


def test_equal_seeds_show_equal_samples_and_val_is_the_image_itself(config, tmp_path):
    for name, seed in (('a', '1'), ('b', '1'), ('c', '2')):
        arguments = [str(config), '--num', '4', '--png', '--seed', seed]
        main([*arguments, '--out', str(tmp_path / name)])
    a, b, c = (
        {p.name: p.read_bytes() for p in sorted((tmp_path / name).iterdir())} for name in 'abc'
    )
    assert a == b and a != c
    sample = next(
        iter(Browser(load_config(str(config)), split='val', name='toy').samples(1, seed=0))
    )
    assert np.array_equal(sample.image, np.asarray(Image.open(sample.name)))


def test_json_names_the_samples_and_their_classes(config, tmp_path, capsys):
    main([str(config), '--num', '2', '--out', str(tmp_path / 'out'), '--json'])
    told = json.loads(capsys.readouterr().out)
    assert told['out'] == str(tmp_path / 'out/index.html') and len(told['samples']) == 2
    for sample in told['samples']:
        assert abs(sum(sample['classes'].values()) - 1) < 1e-6 and Path(sample['image']).is_file()


def test_padding_has_the_mean_and_its_label_is_ignored(config):
    options = {'model.data_preprocessor.size': (20, 24)}
    browser = Browser(load_config(str(config), options=options), split='train', name='toy')
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
