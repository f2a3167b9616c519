"""A file is the old one or the new one, never something between."""

import errno
import os

import pytest

from openseg_plugin.errors import UserError
from openseg_plugin.utils.files import atomic_write, write_text


def test_new_contents_replace_the_old_ones(tmp_path):
    path = tmp_path / 'a.txt'
    path.write_text('old')
    write_text(str(path), 'new')
    assert path.read_text() == 'new'
    assert os.listdir(tmp_path) == ['a.txt']


@pytest.mark.parametrize(
    ('error', 'expected'),
    [
        (OSError(errno.ENOSPC, 'full'), UserError),
        (OSError(errno.EIO, 'broken'), OSError),
        (RuntimeError('other'), RuntimeError),
        (KeyboardInterrupt(), KeyboardInterrupt),
    ],
)
def test_failure_leaves_the_old_file_and_nothing_else(tmp_path, error, expected):
    path = tmp_path / 'a.txt'
    path.write_text('old')
    with pytest.raises(expected), atomic_write(str(path)) as temporary:
        with open(temporary, 'w') as file:
            file.write('ne')
        raise error
    assert path.read_text() == 'old'
    assert os.listdir(tmp_path) == ['a.txt']


def test_real_limit_of_the_file_size_is_reported_as_a_full_disk(tmp_path):
    resource = pytest.importorskip('resource')
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        with pytest.raises(UserError, match='the disk is full'):
            write_text(str(tmp_path / 'a.txt'), 'x' * 5000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert os.listdir(tmp_path) == []


def test_new_contents_are_on_the_disk_before_the_name_changes(tmp_path, monkeypatch):
    calls = []
    monkeypatch.setattr(os, 'fsync', lambda handle: calls.append('fsync'))
    real_replace = os.replace
    monkeypatch.setattr(os, 'replace', lambda *a: (calls.append('replace'), real_replace(*a)))
    write_text(str(tmp_path / 'a.txt'), 'new')
    assert calls == ['fsync', 'replace', 'fsync']
