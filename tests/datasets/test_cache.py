"""Decoded data in a cache is what decoding gives; what it lacks costs decoding, never a sample."""

import multiprocessing
import os
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
import toy_run
from mmengine.registry import init_default_scope
from mmseg.registry import DATASETS

from openseg_plugin.config.loading import load_config, set_cache
from openseg_plugin.datasets import cache
from openseg_plugin.datasets.cache import DataCacheHook, Store, fill, folder_of, use
from openseg_plugin.errors import ConfigError, DataError, MachineError
from openseg_plugin.paths import config_path


@pytest.fixture
def data(tmp_path) -> Path:
    return toy_run.write_data(tmp_path / 'data', number=3)


def dataset(data: Path):
    """A dataset that loads and nothing else."""
    init_default_scope('mmseg')
    return DATASETS.build(toy_run.loader(data, 'train', toy_run.LOADING, batch_size=1)['dataset'])


def arrays(one) -> list[np.ndarray]:
    """Image and label of every sample."""
    return [one[k][key] for k in range(len(one)) for key in ('img', 'gt_seg_map')]


def assert_same(one: list[np.ndarray], other: list[np.ndarray]) -> None:
    for a, b in zip(one, other, strict=True):
        np.testing.assert_array_equal(a, b)
        assert (a.dtype, a.flags.writeable) == (b.dtype, True)


def test_samples_are_those_of_decoding_and_are_not_decoded_again(data, tmp_path, monkeypatch):
    expected = arrays(dataset(data))
    cached = dataset(data)
    folder = tmp_path / 'cache'
    folder.mkdir()
    fill([cached], str(folder), in_memory=False)
    assert len(list(folder.glob('*.npy'))) == 6
    use(cached, Store(str(folder)))
    monkeypatch.setattr(cv2, 'imdecode', None)  # nobody may need it
    assert_same(arrays(cached), expected)
    first = cached[0]['img']
    first[:] = 0  # what a transform writes stays in its sample
    assert_same(arrays(cached), expected)
    monkeypatch.setattr(Store, 'write', None)  # nothing is left to make
    fill([dataset(data)], str(folder), in_memory=False)


def test_files_that_change_are_decoded_anew(data, tmp_path):
    fill([dataset(data)], str(tmp_path), in_memory=False)
    image = data / 'train/image/01.png'
    label = data / 'train/label/01.png'
    cv2.imwrite(str(image), np.full((12, 16, 3), 7, np.uint8))
    cv2.imwrite(str(label), np.full((12, 16), 2, np.uint8))
    os.utime(label, ns=(1, 1))
    changed = dataset(data)
    fill([changed], str(tmp_path), in_memory=False)
    use(changed, Store(str(tmp_path)))
    assert (changed[1]['img'] == 7).all() and (changed[1]['gt_seg_map'] == 2).all()
    assert len(list(tmp_path.glob('*.npy'))) == 6


def test_entries_that_are_gone_broken_or_of_other_classes_cost_decoding_alone(data, tmp_path):
    expected = arrays(dataset(data))
    cached = dataset(data)
    fill([cached], str(tmp_path), in_memory=False)
    use(cached, Store(str(tmp_path)))
    entries = sorted(tmp_path.glob('*.npy'))
    entries[0].unlink()
    entries[1].write_bytes(b'')
    entries[2].write_bytes(entries[2].read_bytes()[:100])
    assert_same(arrays(cached), expected)
    cached.label_table = np.where(cached.label_table == 2, 255, cached.label_table)
    assert not any((label == 2).any() for label in arrays(cached)[1::2])


def make(data: str, folder: str, number: int) -> None:
    if number == 0:  # killed in the middle
        Store.write, write = (lambda *_: os._exit(1)), Store.write
        del write
    fill([dataset(Path(data))], folder, in_memory=False)


def test_two_makers_and_one_that_is_killed_leave_a_whole_cache(data, tmp_path):
    context = multiprocessing.get_context('fork')
    (tmp_path / '.abandoned.npy.1-2.tmp').write_bytes(b'half')
    for numbers in ((0,), (1, 2)):
        makers = [context.Process(target=make, args=(data, str(tmp_path), n)) for n in numbers]
        for maker in makers:
            maker.start()
        for maker in makers:
            maker.join(60)
        assert [maker.exitcode for maker in makers] == [0 if n else 1 for n in numbers]
    assert not list(tmp_path.glob('.*.tmp'))
    cached = dataset(data)
    use(cached, Store(str(tmp_path)))
    assert_same(arrays(cached), arrays(dataset(data)))
    assert len(list(tmp_path.glob('*.npy'))) == 6


def test_without_room_nothing_is_made_and_a_broken_file_is_named(data, tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)._replace(free=100)
    with monkeypatch.context() as patched:
        patched.setattr(cache.shutil, 'disk_usage', lambda _: usage)
        with pytest.raises(MachineError, match=r'needs 0\.0 GB .* use --cache disk:DIR'):
            fill([dataset(data)], str(tmp_path), in_memory=True)
    assert not list(tmp_path.glob('*.npy'))
    cv2.imwrite(str(data / 'train/label/02.png'), np.full((12, 16), 9, np.uint8))
    with pytest.raises(DataError, match=r'02\.png holds values outside the classes: 9'):
        fill([dataset(data)], str(tmp_path), in_memory=False)


def test_size_that_is_said_is_the_size_that_is_taken(data, tmp_path):
    one = dataset(data)
    store = Store(str(tmp_path))
    expected = cache.expected_bytes(list(cache._missing(one, store)))
    fill([one], str(tmp_path), in_memory=False)
    assert sum(file.stat().st_size for file in tmp_path.glob('*.npy')) == expected


def test_options_reach_the_hook():
    path = str(config_path('ocr/hrnet18_camvid_20k.py'))
    cfg = load_config(path)
    set_cache(cfg, cache='disk:a', exact_resample=True)
    assert (cfg.default_hooks.data_cache.cache, DataCacheHook('disk:a').folder) == ('disk:a', 'a')
    assert cfg.default_hooks.data_cache.exact_resample is True
    del cfg.default_hooks['data_cache']
    set_cache(cfg, cache=None)
    assert not cfg.get('custom_hooks')
    set_cache(cfg, cache='disk')
    assert cfg.custom_hooks == [dict(type='openseg_plugin.DataCacheHook', cache='disk')]
    for wrong in ('tape', 'ram:DIR', ''):
        with pytest.raises(ConfigError, match='give ram, disk or disk:DIR'):
            folder_of(wrong)


@pytest.mark.parametrize('kind', ['ram', 'disk'])
def test_a_training_with_a_cache_is_the_training_without(data, tmp_path, monkeypatch, kind):
    memory = tmp_path / 'shm'
    memory.mkdir()
    monkeypatch.setattr(cache, '_SHARED_MEMORY', str(memory))
    config = toy_run.toy_config(tmp_path, data)
    short = ['train_cfg.max_iters=3']
    for work, options in (('a', []), ('b', ['--cache', f'disk:{tmp_path}/c'])):
        if kind == 'ram' and options:
            options = ['--cache', 'ram']
        assert toy_run.train(config, tmp_path / work, *options, *short) == 0
    toy_run.assert_same_state(
        toy_run.last_checkpoint(tmp_path / 'a'), toy_run.last_checkpoint(tmp_path / 'b')
    )
    assert not list(memory.iterdir())  # removed at the end
    assert kind == 'ram' or len(list((tmp_path / 'c').glob('*.npy'))) == 12
