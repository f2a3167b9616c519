"""The commands in the README's table, run on the stored raw trees, lead to data to train on."""

import re
import shlex
from pathlib import Path

import pytest
from mmengine.config import Config
from mmseg.registry import DATASETS

from openseg_plugin.converters.datasets.core.command import main

PROJECT = Path(__file__).parents[2]
RAW = PROJECT / 'tests/data/converters'
ROW = re.compile(r'`python tools/(convert_dataset\.py [^`]+)` \| (`\w+\.py`.*) \|$', re.M)
ROWS = [
    pytest.param(shlex.split(command)[1:], re.findall(r'`(\w+)\.py`', bases), id=command)
    for command, bases in ROW.findall((PROJECT / 'README.md').read_text(encoding='utf-8'))
]


def test_table_lists_every_base_of_a_converted_data_set():
    listed = {base for row in ROWS for base in row.values[1]}
    bases = {path.stem for path in (PROJECT / 'configs/_base_/datasets').glob('*.py')}
    converted = {'ade20k', 'atr', 'celebamask', 'cihp', 'lip', 'voc'} | {
        base
        for base in bases
        if base.startswith(('coco_stuff', 'mapillary', 'pascal_context'))
        and not base.endswith(('_stock', '_nvidia', '_zoo'))
    }
    assert converted <= listed
    assert listed <= bases


@pytest.mark.parametrize('arguments, bases', ROWS)
def test_command_of_the_table_gives_data_that_its_bases_train_on(
    arguments, bases, tmp_path, monkeypatch
):
    name, source, target, *options = arguments
    assert source == 'RAW'
    root = tmp_path / 'data'
    if name == 'cityscapes_autolabelled':  # trains on the fine pictures too
        assert main(['cityscapes', str(RAW / 'cityscapes/raw'), str(root / 'cityscapes')]) == 0
    if '--val-every' in options:  # the stored tree has two pictures
        options[options.index('--val-every') + 1] = '2'
    options += ['--workers', '1']
    assert main([name, str(RAW / name / 'raw'), str(tmp_path / target), *options]) == 0
    monkeypatch.setenv('DATA_ROOT', str(root))
    for base in bases:
        cfg = Config.fromfile(PROJECT / f'configs/_base_/datasets/{base}.py')
        dataset = DATASETS.build(cfg.train_dataloader.dataset)
        assert dataset.metainfo['classes']
        for k in range(len(dataset)):
            sample = dataset[k]
            height, width = sample['inputs'].shape[1:]
            assert height <= cfg.crop_size[0] and width <= cfg.crop_size[1]
            assert sample['data_samples'].gt_sem_seg.data.shape[1:] == (height, width)
        for loader in (cfg.val_dataloader, cfg.test_dataloader):
            sample = DATASETS.build(loader.dataset)[0]['data_samples']
            assert sample.gt_sem_seg.data.shape[1:] == sample.ori_shape
