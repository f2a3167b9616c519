"""Links that lead nowhere, files of others, splits that are not there: said, with a fix."""

import json
from pathlib import Path

import pytest
import small_set

from openseg_plugin.cli.check_dataset import main
from openseg_plugin.cli.main import run


@pytest.fixture
def data(tmp_path) -> Path:
    return small_set.write(tmp_path / 'data')


def run_check(source: Path, tmp_path: Path, *arguments: str) -> int:
    return main([str(source), '--cache', str(tmp_path / 'cache'), *arguments])


@pytest.mark.parametrize('kind', ['folder', 'config'])
@pytest.mark.parametrize('what', ['image', 'label'])
def test_link_that_leads_nowhere_is_named_and_moved_out(data, tmp_path, capsys, what, kind):
    path = data / 'train' / what / '1.png'
    path.unlink()
    path.symlink_to(tmp_path / 'gone' / '1.png')
    source = small_set.config(tmp_path / 'c.py', data) if kind == 'config' else data
    assert run_check(source, tmp_path, '--report', str(tmp_path / 'report')) == 1
    text = capsys.readouterr().out
    assert '1.png is a link that leads nowhere' in text
    assert 'list of the split' not in text
    (command,) = (line.strip() for line in text.splitlines() if '--apply-fix' in line)
    small_set.run_command(command, tmp_path)
    assert run_check(source, tmp_path) == 0
    assert 'No findings' in capsys.readouterr().out
    unused = Path(f'{data}-unused').rglob('*')
    assert len([path for path in unused if path.is_symlink() or path.is_file()]) == 2


@pytest.mark.parametrize('content', [{'name': 'mine'}, ['a'], {'format': 7, 'files': 3}])
def test_dataset_json_of_somebody_else_is_no_summary(data, tmp_path, capsys, content):
    (data / 'dataset.json').write_text(json.dumps(content))
    assert run_check(data, tmp_path, '--num-classes', '3') == 0
    assert 'No findings' in capsys.readouterr().out


@pytest.mark.parametrize('content', ['{"format": 1, "conv', '{"format": 9, "converter": "masks"}'])
def test_broken_summary_of_a_converter_is_refused(data, tmp_path, capsys, content):
    (data / 'dataset.json').write_text(content)
    assert run(main, [str(data), '--cache', str(tmp_path / 'cache')]) == 2
    assert 'dataset.json' in capsys.readouterr().err


def test_config_without_its_test_images_says_how_to_leave_them_out(data, tmp_path, capsys):
    path = small_set.config(tmp_path / 'c.py', data)
    path.write_text(
        path.read_text()
        + "test_dataloader = dict(dataset=dict(val_dataloader['dataset'], "
        + "data_prefix=dict(img_path='test/image', seg_map_path='test/label')))\n"
    )
    cache = ['--cache', str(tmp_path / 'cache')]
    assert run(main, [str(path), *cache]) == 2
    assert 'or leave it out: --split train val' in capsys.readouterr().err
    assert run(main, [str(path), '--split', 'train', 'val', *cache]) == 0
