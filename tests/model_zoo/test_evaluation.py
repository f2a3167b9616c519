"""The printed command evaluates the file: its config is built with the classes that it has."""

import shlex

import pytest

from openseg_plugin.engine import test as testing
from openseg_plugin.model_zoo.command import main
from openseg_plugin.model_zoo.entries import entries, find
from openseg_plugin.model_zoo.evaluation import NOT_OURS, command

# one entry of every config, data set and set of options
DIFFERENT = {(e.config, e.test_data, str(e.options), str(e.test_options)): e for e in entries()}
OURS = [entry for entry in DIFFERENT.values() if entry.data not in NOT_OURS]
DATA_CLASS = {
    'ADE20K': 'ADE20KDataset',
    'COCO-Stuff 10k': 'COCOStuff10kDataset',
    'COCO-Stuff 164k': 'COCOStuff164kDataset',
    'Cityscapes': 'CityscapesDataset',
    'LIP': 'LIPDataset',
    'Mapillary': 'MapillaryDataset',
    'PASCAL-Context': 'PascalContextDataset',
    'VOC12aug': 'VOCDataset',
}


@pytest.mark.parametrize('entry', OURS, ids=lambda entry: entry.name)
def test_command_tests_on_the_files_data_with_its_classes(entry, tmp_path):
    weights = tmp_path / 'weights.pth'
    weights.touch()
    words = shlex.split(command(entry, str(weights)))
    assert words[:2] == ['python', 'tools/test.py']
    cfg = testing.testing_config(testing._parse(words[2:]))
    data = cfg.test_dataloader.dataset.type.removeprefix('openseg_plugin.')
    assert data in (DATA_CLASS[entry.data], 'SegFixDataset')
    heads = cfg.model.decode_head
    assert entry.classes is None or heads.num_classes == entry.classes
    for key, value in entry.test_options.items():
        found = cfg
        for part in key.split('.'):
            found = found[part]
        assert found == (tuple(value) if isinstance(value, list) else value)


def test_only_satellite_pictures_have_no_command():
    assert {entry.data for entry in entries() if command(entry, 'x') is None} == set(NOT_OURS)
    assert {entry.data for entry in entries()} - set(NOT_OURS) == set(DATA_CLASS)


def test_show_says_what_is_known_and_how_to_evaluate(capsys):
    main(['show', 'isanet_r50-d8_769x769_80k_cityscapes'])
    shown = capsys.readouterr().out
    assert 'sha256          99b54519...' in shown
    assert 'isa on' in shown and '79.29' in shown
    assert 'model.test_cfg.mode=slide model.test_cfg.crop_size="(769,769)"' in shown


def test_command_with_data_leaves_out_what_data_says():
    entry = find('isanet_r50-d8_512x512_80k_ade20k')
    assert command(entry, 'F').endswith('r50_mmseg_cityscapes_80k.py F --data ade20k_512')
