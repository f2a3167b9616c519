"""No file that is handed over runs code: each way in, with files that would leave a marker.

``pickle`` files name a function to call, ``config`` files hold a config whose text creates the
marker when it is evaluated and whose types name a function that creates it when it is built.
"""

import contextlib
import json
import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import toy_run
from mmengine.config import Config
from mmengine.registry import MODELS as MMENGINE_MODELS
from mmengine.runner import load_checkpoint
from mmseg.apis import MMSegInferencer, init_model
from safetensors.torch import save_file
from toy_segmentor import config_of_test, image, segmentor_config

import openseg_plugin
from openseg_plugin.cli import convert_checkpoint, convert_dataset, test, weights
from openseg_plugin.cli.main import main, run
from openseg_plugin.config.loading import load_config
from openseg_plugin.converters.checkpoints import read_checkpoint
from openseg_plugin.converters.checkpoints.stored_config import STORED_CONFIG
from openseg_plugin.converters.datasets.core.find import read_json, read_matlab
from openseg_plugin.datasets.samplers import class_uniform
from openseg_plugin.errors import CheckpointError, ConfigError, UserError
from openseg_plugin.model_zoo.entries import find
from openseg_plugin.registry import MODELS
from openseg_plugin.segfix.offset_files import read_offsets

ENTRY = 'ocrnet_hr18_512x1024_160k_cityscapes'


class Command:
    """A pickle of this makes a folder when it is loaded by the ordinary rules."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self):
        return os.mkdir, (str(self.marker),)


def code(marker: Path) -> str:
    """Text of a config that makes the marker when it is evaluated."""
    return f"model = dict(a=__import__('os').mkdir({str(marker)!r}))\n"


def evil_type(marker: Path) -> dict:
    """A model whose type names a function."""
    return {'model': {'type': 'os.mkdir', 'path': str(marker)}, 'test_dataloader': {}}


def with_config(checkpoint: dict, marker: Path) -> dict:
    """The checkpoint with configs that would make the marker wherever a config may stand."""
    meta = {
        **checkpoint['meta'],
        **{key: code(marker) for key in ('cfg', 'config')},
        STORED_CONFIG: evil_type(marker),
        'cfg_options': {'model.type': 'os.mkdir'},
    }
    hub = checkpoint.get('message_hub', {})
    info = {**hub.get('runtime_info', {}), 'cfg': code(marker)}
    return {**checkpoint, 'meta': meta, 'message_hub': {**hub, 'runtime_info': info}}


@pytest.fixture(scope='module')
def place(tmp_path_factory) -> Path:
    """A folder with data, ``toy.py``, ``image.png`` and a training of one iteration in ``work``."""
    folder = tmp_path_factory.mktemp('code')
    data = toy_run.write_data(folder / 'data', number=2)
    config_of_test(folder, data, train_cfg=dict(max_iters=1, val_interval=1))
    assert toy_run.train(folder / 'toy.py', folder / 'work') == 0
    shutil.copy(data / 'val' / 'image' / '00.png', folder / 'image.png')
    return folder


@pytest.fixture(params=['pickle', 'config'])
def evil(request, place, tmp_path) -> tuple[Path, Path]:
    """A checkpoint as the training made it but for what would run, and the marker."""
    marker, path = tmp_path / 'ran', tmp_path / 'evil.pth'
    checkpoint = toy_run.last_checkpoint(place / 'work')
    if request.param == 'pickle':
        torch.save({**checkpoint, 'extra': Command(marker)}, path)
    else:
        torch.save(with_config(checkpoint, marker), path)
    return path, marker


def resume_auto(place: Path, file: Path) -> None:
    work = file.parent / 'auto'
    work.mkdir()
    shutil.copy(file, work / 'iter_1.pth')
    (work / 'last_checkpoint').write_text(str(work / 'iter_1.pth'))
    toy_run.train(place / 'toy.py', work, '--resume', 'train_cfg.max_iters=2')


def train_from(place: Path, file: Path, *words: str) -> None:
    toy_run.train(place / 'toy.py', file.parent / 'run', *words)


def get(place: Path, file: Path) -> None:
    entry = find(ENTRY)
    target = file.parent / entry.name / entry.file
    target.parent.mkdir()
    shutil.copy(file, target)
    run(weights.main, ['get', ENTRY, '--to', str(file.parent)])


WAYS: dict[str, Callable[[Path, Path], object]] = {
    'load_from': lambda place, file: train_from(place, file, f'load_from={file}'),
    'resume PATH': lambda place, file: train_from(
        place, file, '--resume', str(file), 'train_cfg.max_iters=2'
    ),
    'resume auto': resume_auto,
    'init_cfg': lambda place, file: load_checkpoint(
        MODELS.build(segmentor_config(num_classes=3)), str(file)
    ),
    'test': lambda place, file: run(
        test.main,
        [str(place / 'toy.py'), str(file), '--work-dir', str(file.parent / 'test')],
    ),
    'init_model': lambda place, file: init_model(str(place / 'toy.py'), str(file), device='cpu'),
    'inferencer': lambda place, file: MMSegInferencer(None, weights=str(file), device='cpu'),
    'verify': lambda place, file: run(
        convert_checkpoint.main, [str(file), '--verify', str(place / 'image.png')]
    ),
    'convert': lambda place, file: run(
        convert_checkpoint.main, [str(file), str(file.parent / 'hub'), '--format', 'hub']
    ),
    'model zoo': get,
    'predict': lambda place, file: main(predicting(file, place)),
    'predict hub folder': lambda place, file: main(predicting(in_hub_folder(file), place)),
    'test alone': lambda place, file: main(
        ['test', str(file), '--work-dir', str(file.parent / 'test')]
    ),
    'export': lambda place, file: main(['export', str(file), str(file.parent / 'model.onnx')]),
    'load': lambda place, file: openseg_plugin.load(str(file), device='cpu'),
    'weights convert': lambda place, file: main(
        ['weights', 'convert', str(file), str(file.parent / 'converted.safetensors')]
    ),
}


def predicting(file: Path, place: Path) -> list[str]:
    out = file.parent / 'predicted'
    return ['predict', str(file), str(place / 'image.png'), '--out', str(out), '--device', 'cpu']


def in_hub_folder(file: Path) -> Path:
    """A folder whose config.json has the metadata of the file."""
    folder = file.parent / 'hub'
    folder.mkdir()
    save_file({'w': torch.ones(1)}, folder / 'model.safetensors')
    meta = {'cfg': code(file.parent / 'ran'), STORED_CONFIG: evil_type(file.parent / 'ran')}
    (folder / 'config.json').write_text(json.dumps({'meta': meta}))
    return folder


@pytest.mark.parametrize('way', WAYS)
def test_no_way_in_runs_code_from_a_checkpoint(place, evil, way, monkeypatch):
    monkeypatch.setattr('mmengine.config.config.FormatCode', toy_run.as_it_is, raising=False)
    file, marker = evil
    with contextlib.suppress(UserError):
        WAYS[way](place, file)
    assert not marker.exists()


def test_the_files_of_these_tests_would_leave_the_marker(tmp_path):
    markers = [tmp_path / name for name in ('pickle', 'text', 'type')]
    pickle.loads(pickle.dumps(Command(markers[0])))
    Config.fromstring(code(markers[1]), file_format='.py')
    MMENGINE_MODELS.build(evil_type(markers[2])['model'])
    assert all(marker.is_dir() for marker in markers)


def test_inferencer_takes_the_config_out_of_our_checkpoint(place):
    """Also out of one of mmengine, which holds it as text alone."""
    file = Path((place / 'work' / 'last_checkpoint').read_text())
    without = read_checkpoint(file)
    del without['meta'][STORED_CONFIG]
    torch.save(without, place / 'text_only.pth')
    results = [
        MMSegInferencer(None, weights=str(path), device='cpu')(image(12, 16))['predictions']
        for path in (file, place / 'text_only.pth')
    ]
    assert results[0].shape == (12, 16)
    np.testing.assert_array_equal(*results)


def test_type_that_no_registry_has_is_named(place, tmp_path):
    checkpoint = with_config(toy_run.last_checkpoint(place / 'work'), tmp_path / 'ran')
    torch.save(checkpoint, tmp_path / 'evil.pth')
    with pytest.raises(CheckpointError, match=r"type='os\.mkdir'"):
        MMSegInferencer(None, weights=str(tmp_path / 'evil.pth'), device='cpu')


def test_yaml_config_runs_nothing_and_still_knows_tuples(tmp_path):
    marker = tmp_path / 'ran'
    good, bad = tmp_path / 'good.yml', tmp_path / 'bad.yml'
    Config(dict(size=(1, 2), names=['a'], rate=0.5)).dump(good)
    assert load_config(str(good)).size == (1, 2)
    bad.write_text(f'x: !!python/object/apply:os.mkdir ["{marker}"]\n')
    with pytest.raises(ConfigError, match=r'bad\.yml'):
        load_config(str(bad))
    assert not marker.exists()


def test_yaml_that_stands_for_more_than_anybody_can_read_is_refused(tmp_path):
    lists = [f'a{k}: &a{k} [{", ".join([f"*a{k - 1}"] * 9)}]' for k in range(1, 10)]
    text = '\n'.join(['a0: &a0 [x, x]', *lists, 'names: *a9', ''])
    (tmp_path / 'bomb.yml').write_text(text)
    with pytest.raises(ConfigError, match=r'bomb\.yml.*anchors'):
        load_config(str(tmp_path / 'bomb.yml'))
    (tmp_path / 'src' / 'images').mkdir(parents=True)
    (tmp_path / 'bomb.yml').rename(tmp_path / 'src' / 'data.yaml')
    with pytest.raises(UserError, match=r'data\.yaml .*anchors'):
        convert_dataset.main(['yolo_seg', str(tmp_path / 'src'), str(tmp_path / 'out')])
    (tmp_path / 'good.yml').write_text('a: &a [1, 2]\nb: [*a, *a]\n')
    assert load_config(str(tmp_path / 'good.yml')).b == [[1, 2], [1, 2]]


@pytest.mark.parametrize('value', ['/a b/it\'s "q"', 'C:\\data\\new', "' + str(1/0) + '", '/ä{x}'])
def test_environment_value_in_a_config_is_a_string(tmp_path, monkeypatch, value):
    (tmp_path / 'c.py').write_text(
        'root = \'{{$DATA_ROOT:data}}/camvid\'\nname = f"{{$DATA_ROOT:data}}/{1 + 1}"\n'
        "bare = {{'$DATA_ROOT:80'}}\nother = {{'$OTHER_VARIABLE:80'}}\n"
        "raw = r'{{$DATA_ROOT:data}}\\x'\n"
        "again = [r'{{$DATA_ROOT:data}}', r'{{$OTHER_VARIABLE:\\t}}']\n"
    )
    monkeypatch.setenv('DATA_ROOT', value)
    cfg = load_config(str(tmp_path / 'c.py'))
    assert (cfg.raw, cfg.again) == (f'{value}\\x', [value, '\\t'])
    assert (cfg.root, cfg.name, cfg.bare) == (f'{value}/camvid', f'{value}/2', value)
    assert cfg.other == 80
    monkeypatch.setenv('DATA_ROOT', '12')
    assert load_config(str(tmp_path / 'c.py')).bare == 12


@pytest.mark.parametrize('name', ["it's", 'a" + str(1_0) + "', 'back\\slash', '\\1 \\g<0>', 'ä{x}'])
def test_folder_and_name_of_a_config_are_strings_in_it(tmp_path, name):
    (tmp_path / name).mkdir()
    (tmp_path / name / f'{name}.py').write_text(
        'folder = \'{{ fileDirname }}\'\nfile = "{{fileBasename}}"\n'
        "work_dir = f'work/{{ fileBasenameNoExtension }}/{1 + 1}'\nend = r'{{ fileExtname }}'\n"
    )
    cfg = load_config(str(tmp_path / name / f'{name}.py'))
    assert (cfg.folder, cfg.file) == (str(tmp_path / name), f'{name}.py')
    assert (cfg.work_dir, cfg.end) == (f'work/{name}/2', '.py')


def pickled_arrays(marker: Path) -> np.ndarray:
    return np.array([Command(marker)], object)


def test_label_cache_and_other_data_files_run_nothing(tmp_path):
    marker = tmp_path / 'ran'
    np.savez(tmp_path / 'cache.npz', key=pickled_arrays(marker), centroids=pickled_arrays(marker))
    assert class_uniform._load(str(tmp_path / 'cache.npz'), 'key') is None
    (tmp_path / 'dataset.json').write_text(json.dumps({'classes': code(marker)}))
    assert read_json(tmp_path / 'dataset.json')['classes'] == code(marker)
    (tmp_path / 'a.mat').write_bytes(pickle.dumps(Command(marker)))
    for read in (
        lambda: read_matlab(tmp_path / 'a.mat', 'S'),
        lambda: read_offsets((tmp_path / 'a.mat').read_bytes(), 'a.mat'),
    ):
        with pytest.raises(UserError, match=r'a\.mat'):
            read()
    assert not marker.exists()
