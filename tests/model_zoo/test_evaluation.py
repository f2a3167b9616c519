"""The printed commands give the published results: views, crops and classes of their configs."""

import shlex

import pytest
from in_one_test import in_one_test

from openseg_plugin.cli import test, train
from openseg_plugin.cli.weights import main
from openseg_plugin.config.loading import load_config
from openseg_plugin.converters.checkpoints.conversion import other_data
from openseg_plugin.engine.runner import testing
from openseg_plugin.errors import CheckpointError
from openseg_plugin.model_zoo.entries import (
    NOT_OURS,
    command,
    commands,
    crop_command,
    entries,
    find,
    start_command,
    views_command,
)

# one entry of every config, dataset and set of options
DIFFERENT = {(e.config, e.test_data, str(e.options), str(e.test_options)): e for e in entries()}
TESTED = [entry for entry in entries() if entry.use == 'test']
OURS = [e for e in DIFFERENT.values() if e.use == 'test' and e.data not in NOT_OURS]
WITH_VIEWS = [e for e in {(e.source, e.config, e.test_data, e.views): e for e in entries()
                          if views_command(e, 'x')}.values()]  # fmt: skip
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


def config_of(line: str):
    """What ``openseg test`` makes of its command line."""
    words = shlex.split(line)
    assert words[:2] == ['openseg', 'test']
    return testing.testing_config(test.build_parser().parse_args(words[2:]))


@in_one_test('entry', OURS, ids=lambda entry: entry.name)
def test_command_tests_on_the_files_data_with_its_classes(entry, tmp_path):
    weights = tmp_path / 'weights.pth'
    weights.touch()
    cfg = config_of(command(entry, str(weights)))
    data = cfg.test_dataloader.dataset.type.removeprefix('openseg_plugin.')
    assert data in (DATA_CLASS[entry.data], 'SegFixDataset')
    heads = cfg.model.decode_head
    assert entry.classes is None or heads.num_classes == entry.classes
    for key, value in entry.test_options.items():
        found = cfg
        for part in key.split('.'):
            found = found[part]
        assert found == (tuple(value) if isinstance(value, list) else value)


def test_the_converter_prints_the_same_data_set_as_the_model_zoo():
    for entry in OURS:
        found = other_data(entry.source, entry.classes, entry.config)
        assert found == entry.test_data, entry.name


def test_only_satellite_images_have_no_command():
    assert {entry.data for entry in TESTED if command(entry, 'x') is None} == set(NOT_OURS)
    assert {entry.data for entry in TESTED} - set(NOT_OURS) == set(DATA_CLASS)
    assert not any(command(entry, 'x') for entry in entries() if entry not in TESTED)


@in_one_test('entry', WITH_VIEWS, ids=lambda entry: entry.name)
def test_second_command_sees_several_views(entry, tmp_path):
    weights = tmp_path / 'weights.pth'
    weights.touch()
    cfg = config_of(views_command(entry, str(weights)))
    (views,) = [step for step in cfg.test_dataloader.dataset.pipeline if 'ratios' in step]
    ratios = tuple(views.ratios)
    assert cfg.model.type == 'openseg_plugin.MultiScaleFlip'
    assert cfg.model.get('flip', True)
    if entry.data == 'LIP':  # its authors flip only
        assert ratios == (1.0,)
    elif entry.method == 'hmsa':  # the scales are in the network
        assert ratios == (1.0,) and cfg.model.module.scales == (0.25, 0.5, 1.0, 2.0)
    elif entry.source == 'mmseg':
        assert ratios == (0.5, 0.75, 1.0, 1.25, 1.5, 1.75)
    else:
        assert ratios == (0.5, 0.75, 1.0, 1.25, 1.5, 1.75, 2.0)


def test_metric_of_several_scales_without_a_command_is_that_of_the_scales_in_the_model(tmp_path):
    weights = tmp_path / 'weights.pth'
    weights.touch()
    found = [e for e in entries() if command(e, 'x') and e.miou_ms and not e.views]
    assert len(found) == 3
    for entry in found:
        assert config_of(command(entry, str(weights))).model.scales == (0.5, 1.0, 2.0)


CROPS = [entry for entry in entries() if entry.miou_crop]


@in_one_test('entry', CROPS, ids=lambda entry: entry.name)
def test_third_command_tests_on_the_training_crop(entry, tmp_path):
    weights = tmp_path / 'weights.pth'
    weights.touch()
    whole = config_of(command(entry, str(weights))).test_dataloader.dataset.pipeline
    cfg = config_of(crop_command(entry, str(weights)))
    crops = cfg.test_dataloader.dataset.pipeline
    assert [dict(step) for step in crops] == [dict(step) for step in cfg.val_pipeline], (
        'the configs validate on crops'
    )
    assert [step.get('size') for step in crops] != [step.get('size') for step in whole]


@in_one_test('entry', [e for e in entries() if e.use == 'backbone'], ids=lambda entry: entry.name)
def test_backbone_is_given_to_the_training(entry):
    words = shlex.split(start_command(entry, 'F.pth'))
    assert words[:2] == ['openseg', 'train']
    args = train.build_parser().parse_args(words[2:])
    cfg = load_config(args.config, options=args.cfg_options)
    assert dict(cfg.model.backbone.init_cfg) == dict(type='Pretrained', checkpoint='F.pth')
    assert list(commands(entry, 'F.pth')) == ['start from it']


def test_weights_that_nobody_describes_have_a_note_and_no_command():
    found = [entry for entry in entries() if entry.use == 'weights']
    assert len(found) == 3
    assert all('not documented' in entry.note for entry in found)
    assert {line for e in found for line in commands(e, 'F').values()} == {
        'not here: weights only, see the note'
    }


def test_list_of_what_nothing_matches_names_the_nearest():
    with pytest.raises(CheckpointError, match=r'matches pspnt; near: pspnet'):
        main(['list', 'pspnt'])
    with pytest.raises(CheckpointError, match='zzz; openseg weights list'):
        main(['list', 'zzz'])


def test_show_says_what_is_known_and_how_to_evaluate(capsys):
    main(['show', 'isanet_r50-d8_769x769_80k_cityscapes'])
    shown = capsys.readouterr().out
    assert 'sha256          99b54519...' in shown
    assert 'isa on' in shown and '79.29' in shown
    assert 'model.test_cfg.mode=slide model.test_cfg.crop_size="(769,769)"' in shown
    assert shown.splitlines()[-1].startswith('multi-scale     openseg test')
    assert shown.endswith('--aug-test --scales 0.5 0.75 1 1.25 1.5 1.75\n')


def test_command_with_data_leaves_out_what_data_says():
    entry = find('isanet_r50-d8_512x512_80k_ade20k')
    assert command(entry, 'F').endswith('r50_mmseg_cityscapes_80k.py F --data ade20k_512')
