"""Splits that list files name: fixes write shorter lists and move nothing."""

import shlex
from pathlib import Path

import pytest
import small_set
from PIL import Image

from openseg_plugin.cli.check_dataset import main


@pytest.fixture
def listed(tmp_path) -> tuple[Path, Path]:
    """Data with train.lst and val.lst, and a config that reads them."""
    data = small_set.write(tmp_path / 'my data')
    loaders = []
    for split in ('train', 'val'):
        lines = [f'{split}/image/{k}.png\t{split}/label/{k}.png' for k in range(4)]
        (data / f'{split}.lst').write_text('# image label\n' + '\n'.join(lines) + '\n')
        loaders.append(
            f"{split}_dataloader = dict(dataset=dict(type='openseg_plugin.ListDataset', "
            f"data_root={str(data)!r}, ann_file='{split}.lst', test_mode={split == 'val'}, "
            f'metainfo=dict(classes={small_set.CLASSES!r}, palette={small_set.PALETTE!r}), '
            "pipeline=[dict(type='LoadImageFromFile'), dict(type='openseg_plugin.LoadLabels')]))"
        )
    config = tmp_path / 'c.py'
    config.write_text("default_scope = 'mmseg'\n" + '\n'.join(loaders) + '\n')
    return data, config


def shrink(path: Path) -> None:
    Image.open(path).resize((6, 4)).save(path)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-40])


BREAK = {
    'missing_image': lambda data: (data / 'train/image/1.png').unlink(),
    'missing_label': lambda data: (data / 'val/label/2.png').unlink(),
    'unreadable': lambda data: cut(data / 'train/label/3.png'),
    'size_mismatch': lambda data: shrink(data / 'val/label/0.png'),
    'duplicate_images': lambda data: (data / 'train/image/2.png').write_bytes(
        (data / 'val/image/3.png').read_bytes()
    ),
}


@pytest.mark.parametrize('key', BREAK)
@pytest.mark.parametrize('report_first', [True, False])
def test_a_shorter_list_fixes_the_config(listed, tmp_path, capsys, monkeypatch, key, report_first):
    data, config = listed
    monkeypatch.chdir(tmp_path)
    BREAK[key](data)
    before = sorted(data.rglob('*'))
    arguments = [str(config), '--cache', str(tmp_path / 'cache')]
    more = ['--report', 'the report'] if report_first else []
    assert main([*arguments, *more]) == (0 if key == 'duplicate_images' else 1)
    lines = [line.strip() for line in capsys.readouterr().out.splitlines()]
    if not report_first:  # then the first command that is printed writes the lists
        command = next(line for line in lines if line.startswith('openseg check-dataset'))
        main([*shlex.split(command)[2:], '--cache', str(tmp_path / 'cache')])
        capsys.readouterr()
    assert not any(line.startswith('mkdir') for line in lines)
    settings = next(line for line in lines if line.startswith('--cfg-options'))
    assert main([*arguments, *shlex.split(settings)]) == 0
    text = capsys.readouterr().out
    assert 'No findings' in text and ': 3 images, 3 labels' in text
    assert sorted(data.rglob('*')) == before


def test_healthy_lists_have_no_findings(listed, tmp_path, capsys):
    assert main([str(listed[1]), '--cache', str(tmp_path / 'cache')]) == 0
    assert 'No findings' in capsys.readouterr().out


def test_all_missing_files_of_a_list_are_one_finding(listed, tmp_path, capsys):
    data, config = listed
    for k in (0, 1):
        (data / f'train/image/{k}.png').unlink()
    assert main([str(config), '--cache', str(tmp_path / 'cache')]) == 1
    assert '2 of 8 images are missing' in capsys.readouterr().out
