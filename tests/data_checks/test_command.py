"""The tool itself: layouts, cache, report, usage errors; the data are never touched."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import small_set
from PIL import Image

from openseg_plugin.cli.check_dataset import main
from openseg_plugin.cli.configure import main as configure
from openseg_plugin.cli.main import run
from openseg_plugin.data_checks import examine as examining


@pytest.fixture
def data(tmp_path) -> Path:
    return small_set.write(tmp_path / 'data')


def state(folder: Path) -> dict:
    return {p: (p.stat().st_mtime_ns, p.stat().st_size) for p in folder.rglob('*')}


def inner_layout(data: Path) -> Path:
    """``images/<split>`` and ``labels/<split>`` instead."""
    folder = data.parent / 'inner'
    for split in ('train', 'val'):
        shutil.copytree(data / split / 'image', folder / 'images' / split)
        shutil.copytree(data / split / 'label', folder / 'labels' / split)
    return folder


def plain_layout(data: Path) -> Path:
    folder = data.parent / 'plain'
    shutil.copytree(data / 'train' / 'image', folder / 'images')
    shutil.copytree(data / 'train' / 'label', folder / 'masks')
    return folder


@pytest.mark.parametrize('layout', [lambda data: data, inner_layout, plain_layout])
def test_folder_layouts_are_read(data, layout, tmp_path, capsys):
    assert main([str(layout(data)), '--cache', str(tmp_path / 'cache')]) == 0
    text = capsys.readouterr().out
    assert '4 images, 4 labels; width x height 12x8 (4)' in text
    assert '33.33 %' in text


def test_data_are_not_touched_and_the_cache_is_used(data, tmp_path, capsys, monkeypatch):
    before = state(data)
    arguments = [str(data), '--cache', str(tmp_path / 'cache')]
    main(arguments)
    first = capsys.readouterr().out
    read = []
    for kind, function in examining._READ.items():
        monkeypatch.setitem(
            examining._READ, kind, lambda path, f=function: read.append(path) or f(path)
        )
    main(arguments)
    assert capsys.readouterr().out == first
    assert read == []
    changed = data / 'val' / 'label' / '1.png'
    Image.fromarray(np.full((8, 12), 9, np.uint8)).save(changed)
    main(arguments)
    assert read == [changed]
    assert {p for p, s in state(data).items() if before[p] != s} <= {changed}


def test_broken_cache_costs_nothing_but_time(data, tmp_path, capsys):
    arguments = [str(data), '--cache', str(tmp_path / 'cache')]
    main(arguments)
    (stored,) = (tmp_path / 'cache').iterdir()
    assert len(json.loads(stored.read_text())['files']) == 16
    for content in ('{', '[]', '{"format": 1, "files": 3}'):
        stored.write_text(content)
        assert main(arguments) == 0


def test_report_shows_images_and_escapes_names(data, tmp_path, capsys):
    evil = '<script>alert(1)<&'
    source = data / 'train' / 'image' / '1.png'
    source.rename(source.with_name(f'{evil}.png'))
    label = data / 'train' / 'label' / '1.png'
    label.unlink()
    main([str(data), '--cache', str(tmp_path / 'c'), '--report', str(tmp_path / 'report')])
    page = (tmp_path / 'report' / 'index.html').read_text()
    assert '<script>' not in page and '&lt;script&gt;' in page
    assert 'src="data:image/png;base64,' in page
    assert 'http:' not in page and 'https:' not in page
    assert (
        page.count('<figure class="strip">') >= 1 + 3 * 3
    )  # the finding, and three labels of every class
    names = {path.name for path in (tmp_path / 'report').iterdir()}
    assert names == {'index.html', 'assets', 'missing_label.txt'}


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['{data}', '--split', 'test'], 'has no split test'),
        (['{data}', '--cfg-options', 'a=1'], '--cfg-options is for configs'),
        (['{data}/nothing'], 'does not exist'),
        (['{data}/train/image'], 'has no folders of images and labels'),
        (['{data}', '--workers', '0'], '--workers: 0: give a whole number of 1 or more'),
        (['{data}', '--classes', 'a', 'b', '--num-classes', '3'], 'give one of them'),
        (['{config}', '--ignore-exif'], '--ignore-exif is for folders'),
        (['{config}', '--split', 'test'], 'has no test_dataloader'),
        (['{config}', '--cfg-options', 'train_dataloader.dataset.data_root=/no'], '/no'),
    ],
)
def test_usage_errors_have_status_2_and_one_sentence(data, tmp_path, capsys, arguments, message):
    path = small_set.config(tmp_path / 'c.py', data)
    words = [word.format(data=data, config=path) for word in arguments]
    assert run(main, [*words, '--cache', str(tmp_path / 'cache')]) == 2
    errors = capsys.readouterr().err
    assert message in errors and len(errors.strip().splitlines()) == 1


def test_stock_dataset_class_is_read(data, tmp_path, capsys):
    path = small_set.config(tmp_path / 'c.py', data)
    text = path.read_text().replace('openseg_plugin.SegDataset', 'BaseSegDataset')
    path.write_text(text.replace("img_suffix='.png'", "img_suffix='.png', seg_map_suffix='.png'"))
    small_set.change(data, lambda v: np.where(np.arange(12) == 4, 77, v).astype(np.uint8))
    status = main([str(path), '--cache', str(tmp_path / 'cache')])
    text = capsys.readouterr().out
    assert status == 1 and 'values outside the classes: 77 (64 pixels) in 8 labels' in text
    assert 'openseg convert-dataset masks' in text  # void_ids are ours alone


def test_json_has_the_classes_and_the_findings(data, tmp_path, capsys):
    arguments = [str(data), '--cache', str(tmp_path / 'cache'), '--json']
    assert main(arguments) == 0
    told = json.loads(capsys.readouterr().out)
    train = told['splits'][0]
    assert (train['name'], train['images'], told['findings']) == ('train', 4, [])
    assert [one['pixels'] for one in train['classes']] == [4 * 4 * small_set.HEIGHT] * 3
    assert told['may_start'] is True and told['report'] is None
    (data / 'train/label/0.png').unlink()
    assert main([*arguments, '--report', str(tmp_path / 'report')]) == 1
    told = json.loads(capsys.readouterr().out)
    assert told['findings'][0]['stops_training'] and not told['may_start']
    assert Path(told['report']).is_file()


@pytest.mark.parametrize('text', ['[' * 200_000, '{"a":' * 100_000, '{"classes": ' + '[' * 200_000])
def test_deep_dataset_json_is_one_sentence(tmp_path, capsys, text):
    data = small_set.write(tmp_path / 'data')
    (data / 'dataset.json').write_text(text)
    for verb, options in ((main, []), (configure, ['--out', str(tmp_path / 'c.py')])):
        assert run(verb, [str(data), *options]) == 2
        said = capsys.readouterr().err
        assert 'dataset.json' in said and 'nested too deeply' in said
