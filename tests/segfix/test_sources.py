"""segfix/sources.py: which file belongs to which, in folders and archives."""

import zipfile
from pathlib import PurePosixPath

import numpy as np
import pytest
from in_one_test import in_one_test

from openseg_plugin.errors import DataError
from openseg_plugin.segfix.offset_files import offset_bytes
from openseg_plugin.segfix.sources import Index, Offsets, label_files, sample_key

STILL = np.zeros((4, 6, 2), np.int8)
STEPS = STILL + np.int8(1)


def touch(folder, *names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b'')


def zip_with(path, **entries):
    with zipfile.ZipFile(path, 'w', zipfile.ZIP_DEFLATED) as archive:
        for name, content in entries.items():
            archive.writestr(name.replace('__', '/'), content)
    return path


@in_one_test(
    'stem',
    [
        'frankfurt_000000_000294',
        'frankfurt_000000_000294_leftImg8bit',
        'frankfurt_000000_000294_gtFine_labelIds',
        'frankfurt_000000_000294_gtCoarse_labelTrainIds',
        'frankfurt_000000_000294_leftImg8bit_pred',
        'frankfurt_000000_000294_gtFine',
    ],
)
def test_sample_key_drops_the_endings_of_cityscapes(stem):
    assert sample_key(stem) == 'frankfurt_000000_000294'


def test_sample_key_keeps_other_names():
    assert sample_key('ADE_val_00000001') == 'ADE_val_00000001'


@pytest.mark.parametrize(
    ('sample', 'expected'),
    [
        ('val/bonn/bonn_1_gtFine_labelIds.png', 'bonn_1_leftImg8bit.mat'),
        ('ulm_1.png', 'x/ulm_1.mat'),
        ('y/ulm_2.png', 'y/ulm_2.mat'),
        ('z/ulm_3.png', 'ulm_3.png'),
    ],
)
def test_find_prefers_the_same_path_then_name_then_folder(sample, expected):
    names = ['bonn_1_leftImg8bit.mat', 'x/ulm_1.mat', 'x/ulm_2.mat', 'y/ulm_2.mat']
    names += ['ulm_3.png', 'x/ulm_3_leftImg8bit.mat']
    assert Index(names, 'there').find(PurePosixPath(sample)) == expected


def test_find_without_a_match_names_the_sample():
    with pytest.raises(DataError, match=r'a\.png has no file in there'):
        Index(['b.mat'], 'there').find(PurePosixPath('a.png'))


def test_find_with_several_matches_names_them():
    with pytest.raises(DataError, match=r'semantic/a\.mat, instance/a\.mat'):
        Index(['semantic/a.mat', 'instance/a.mat'], 'there').find(PurePosixPath('a.png'))


def test_label_files_are_found_below_without_hidden_ones_and_results(tmp_path):
    touch(tmp_path, 'a.png', 'sub/b.PNG', '.cache/c.png', 'out/d.png', 'e.jpg', 'f.txt')
    found = label_files(tmp_path, None, without=tmp_path / 'out')
    assert [path.relative_to(tmp_path).as_posix() for path in found] == ['a.png', 'sub/b.PNG']


@pytest.mark.parametrize(
    ('kind', 'ending'),
    [
        (None, 'labelIds'),
        ('cityscapes', 'labelIds'),
        ('instance', 'instanceIds'),
        ('train', 'labelTrainIds'),
    ],
)
def test_label_files_of_a_raw_tree_are_those_of_the_kind(tmp_path, kind, ending):
    endings = ['color', 'labelIds', 'instanceIds', 'labelTrainIds']
    touch(tmp_path, *(f'bonn/bonn_1_gtFine_{name}.png' for name in endings))
    assert [path.stem for path in label_files(tmp_path, kind)] == [f'bonn_1_gtFine_{ending}']


@pytest.mark.parametrize('there', [True, False])
def test_label_files_of_an_empty_or_missing_folder_are_refused(tmp_path, there):
    with pytest.raises(DataError, match='has no label files' if there else 'is no folder'):
        label_files(tmp_path if there else tmp_path / 'x', None)


@pytest.mark.parametrize('suffix', ['.mat', '.png'])
def test_offsets_come_from_a_folder_or_from_a_zip_alike(tmp_path, suffix):
    content = offset_bytes(STEPS, suffix)
    (tmp_path / 'val').mkdir()
    (tmp_path / 'val' / f'a_leftImg8bit{suffix}').write_bytes(content)
    archive = zip_with(tmp_path / 'o.zip', **{f'val__a_leftImg8bit{suffix}': content})
    for place in (tmp_path / 'val', archive, archive / 'val'):
        offsets = Offsets(place)
        np.testing.assert_array_equal(offsets.of(PurePosixPath('a.png'), (4, 6)), STEPS)
        assert offsets.source(PurePosixPath('a.png')).is_file()


def test_offsets_inside_a_zip_are_told_apart_by_the_folder(tmp_path):
    archive = zip_with(
        tmp_path / 'o.zip',
        semantic__a=b'',
        **{'semantic__a.mat': offset_bytes(STILL, '.mat'), 'instance__a.mat': b'broken'},
    )
    with pytest.raises(DataError, match='several files'):
        Offsets(archive).of(PurePosixPath('a.png'), (4, 6))
    assert not Offsets(archive / 'semantic').of(PurePosixPath('a.png'), (4, 6)).any()


def test_offsets_of_another_size_are_refused_with_both_sizes(tmp_path):
    (tmp_path / 'a.mat').write_bytes(offset_bytes(STILL, '.mat'))
    with pytest.raises(DataError, match=r'a\.mat .*4 x 6.*a\.png .*8 x 12'):
        Offsets(tmp_path).of(PurePosixPath('a.png'), (8, 12))


@in_one_test(
    'name', ['../../evil.mat', '/etc/evil.mat', 'C:\\evil.mat', 'a/../../b.mat', '..\\b.mat']
)
def test_offsets_in_a_zip_with_escaping_entries_are_refused(tmp_path, name):
    archive = tmp_path / 'o.zip'
    with zipfile.ZipFile(archive, 'w') as opened:
        opened.writestr('good.mat', offset_bytes(STILL, '.mat'))
        opened.writestr(name, b'')
    with pytest.raises(DataError, match='leads outside'):
        Offsets(archive)


def test_offsets_in_a_broken_zip_are_refused(tmp_path):
    path = tmp_path / 'o.zip'
    path.write_bytes(b'PK\x03\x04 this is not a zip')
    with pytest.raises(DataError, match='no intact zip'):
        Offsets(path)


def test_offsets_in_a_zip_entry_that_is_damaged_name_it(tmp_path):
    archive = zip_with(tmp_path / 'o.zip', **{'a.mat': np.random.default_rng(0).bytes(5000)})
    content = bytearray(archive.read_bytes())
    content[1000:1010] = bytes(10)
    archive.write_bytes(content)
    with pytest.raises(DataError, match=r'a\.mat cannot be unpacked'):
        Offsets(archive).of(PurePosixPath('a.png'), (4, 6))


@pytest.mark.parametrize('kind', ['folder', 'zip', 'missing', 'file'])
def test_offsets_that_are_not_there_are_refused(tmp_path, kind):
    place = tmp_path / 'place'
    if kind == 'folder':
        place.mkdir()
    elif kind == 'zip':
        place = zip_with(tmp_path / 'o.zip', readme=b'hello')
    elif kind == 'file':
        place.write_text('hello')
    with pytest.raises(DataError):
        Offsets(place)
