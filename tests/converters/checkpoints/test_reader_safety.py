"""Reading runs nothing: crafted pickles in every form are refused."""

import argparse
import datetime
import os
import pickle
import pickletools
import resource
import zipfile
from collections import Counter, defaultdict, deque

import numpy as np
import pytest
import torch
from in_one_test import in_one_test
from mmengine.optim.scheduler.param_scheduler import OneCycleParamScheduler

from openseg_plugin.converters.checkpoints import read_checkpoint
from openseg_plugin.errors import CheckpointError


def save_zip(obj, path):
    torch.save(obj, path)


def save_legacy(obj, path):
    torch.save(obj, path, _use_new_zipfile_serialization=False)


def save_pickle(protocol):
    def save(obj, path):
        path.write_bytes(pickle.dumps(obj, protocol))

    save.__name__ = f'save_pickle{protocol}'
    return save


TORCH_FORMATS = [save_zip, save_legacy]
PICKLE_FORMATS = [save_pickle(protocol) for protocol in range(6)]


class Command:
    """A pickle of this makes a file when it is loaded."""

    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return os.mkdir, (str(self.marker),)


class Evaluated(Command):
    def __reduce__(self):
        return eval, (f'__import__("os").mkdir({str(self.marker)!r})',)


@in_one_test('save', TORCH_FORMATS + PICKLE_FORMATS)
@in_one_test('attack', [Command, Evaluated])
@in_one_test('place', ['top', 'weights'])
def test_crafted_pickle_is_refused_and_runs_nothing(tmp_path, save, attack, place):
    path, marker = tmp_path / 'crafted.pth', tmp_path / 'ran'
    harmful = attack(marker)
    save(harmful if place == 'top' else {'state_dict': {'a': np.ones(2), 'b': harmful}}, path)
    with pytest.raises(CheckpointError) as caught:
        read_checkpoint(path)
    assert not marker.exists()
    name = {Command: f'{os.mkdir.__module__}.mkdir', Evaluated: 'builtins.eval'}[attack]
    for part in (str(path), name, 'nothing was executed', '--trust-checkpoint'):
        assert part in str(caught.value)


@pytest.mark.parametrize('save', [*TORCH_FORMATS, PICKLE_FORMATS[2]])
def test_trusted_file_is_read_and_may_run_what_it_names(tmp_path, save):
    path, marker = tmp_path / 'crafted.pth', tmp_path / 'ran'
    save({'w': Command(marker)}, path)
    assert read_checkpoint(path, trust=True) == {'w': None}
    assert marker.exists()  # so the crafted file of the other test would have worked


@in_one_test(
    'opcodes',
    [
        # GLOBAL an allowed function, then BUILD to give it another state
        b'\x80\x02ctorch._utils\n_rebuild_tensor_v2\n}U\x05_callcbuiltins\nstr\nsb.',
        b'\x80\x02cmmengine.logging.history_buffer\nHistoryBuffer\n}U\x04meancbuiltins\nstr\nsb.',
        # an element type with fields, which could turn raw bytes into pointers
        b'\x80\x02cnumpy\ndtype\n(U\x02f8K\x00K\x01tR(K\x03U\x01<N(U\x01atNK\x08K\x08K\x3ftb.',
        b'\x80\x02cnumpy\ndtype\nU\x02O8\x85R.',
        b'\x80\x02c_codecs\nencode\nU\x01aU\x05rot13\x86R.',
        b'\x80\x02c__builtin__\ngetattr\ncmmengine.logging.history_buffer\nHistoryBuffer\n'
        b'U\x08__init__\x86R.',
    ],
)
def test_opcodes_that_bend_allowed_names_are_refused(tmp_path, opcodes):
    path = tmp_path / 'crafted.pdparams'
    path.write_bytes(opcodes)
    with pytest.raises(CheckpointError):
        read_checkpoint(path)


KINDS = {
    'Counter': Counter({3: 2}),
    'Namespace': argparse.Namespace(lr=0.1, sizes=[(np.ones(2),)]),
    'datetime': datetime.datetime(2024, 1, 2, tzinfo=datetime.timezone.utc),
    'deque': deque([1, 2], 3),
    'defaultdict': defaultdict(list, {'a': [1]}),
    'set': {1, ('a', 2)},
    'bytes': [b'abc', bytearray(b'abc'), complex(1, 2), range(3), float],
    'sparse': torch.eye(3).to_sparse(),
    'csr': torch.eye(3).to_sparse_csr(),
    'quantized': torch.quantize_per_tensor(torch.arange(6.0).view(2, 3), 0.5, 1, torch.qint8),
    'per channel': torch.quantize_per_channel(
        torch.ones(2, 3), torch.ones(2), torch.zeros(2), 0, torch.quint8
    ),
    'float8': torch.ones(3).to(torch.float8_e4m3fn),
    'view': torch.arange(12.0).view(3, 4).t()[1:],
    'negated': torch._neg_view(torch.arange(3.0)),
    'conjugated': torch.tensor([1 + 2j, 3 - 1j]).conj(),
    'days': np.array(['2024-01-02', 'NaT'], 'datetime64[D]'),
    'quarters of an hour': np.timedelta64(3, '15m'),
    'parameter': torch.nn.Parameter(torch.ones(2)),
    'device and dtype': [torch.device('cuda:1'), torch.float16, torch.Size([1, 2])],
    'annealing': OneCycleParamScheduler._annealing_cos,
}


@in_one_test('save', TORCH_FORMATS)
@in_one_test('value', KINDS.values(), ids=KINDS)
def test_what_torch_reads_by_itself_or_others_keep_as_data_is_read_as_it_was(tmp_path, save, value):
    path = tmp_path / 'kinds.pth'
    save({'x': value}, path)
    read = read_checkpoint(path)['x']
    assert type(read) is type(value)
    if isinstance(value, torch.Tensor):
        assert (read.dtype, read.layout, read.shape) == (value.dtype, value.layout, value.shape)
        wide = torch.complex64 if value.is_complex() else torch.float32
        assert torch.equal(*(x.dequantize() if x.is_quantized else x.to_dense().to(wide)
                             for x in (read, value)))  # fmt: skip
    else:
        assert repr(read) == repr(value)


def test_tensor_without_memory_is_read_without_memory(tmp_path):
    torch.save({'x': torch.empty(2**20, 2**20, device='meta')}, tmp_path / 'meta.pth')
    read = read_checkpoint(tmp_path / 'meta.pth')['x']
    assert read.is_meta and read.shape == (2**20, 2**20)


def doubled(start: bytes, times: int = 60) -> bytes:
    """Opcodes: a tuple of twice the former one, as often."""
    pairs = (b'h' + bytes([i]) + b'h' + bytes([i]) + b'\x86q' + bytes([i + 1]) + b'0'
             for i in range(times))  # fmt: skip
    return start + b'q\x000' + b''.join(pairs) + b'h' + bytes([times])


def call(module: str, name: str, arguments: bytes) -> bytes:
    return f'c{module}\n{name}\n'.encode() + arguments + b'R'


TEXT = b'X' + (2000).to_bytes(4, 'little') + b'a' * 2000
NUMBER = b'\x8a\x06' + (3 * 10**9).to_bytes(6, 'little')
BOMBS = {
    'pairs of pairs': b'}U\x01a' + doubled(b')') + b's',
    'pairs of pairs as a key': b'}' + doubled(b')') + b'K\x01s',
    'pairs of pairs in a set': b'}U\x01a'
    + call('__builtin__', 'set', b'](' + doubled(b')') + b'e\x85')
    + b's',
    'text of pairs': b'}U\x01a' + call('__builtin__', 'str', doubled(b')') + b'\x85') + b's',
    'bytes by their number': b'}U\x01a' + call('__builtin__', 'bytearray', NUMBER + b'\x85') + b's',
    'set of a range': b'}U\x01a'
    + call('__builtin__', 'set', call('__builtin__', 'xrange', NUMBER + b'\x85') + b'\x85')
    + b's',
    'bytes that are not there': b'}U\x01aB\xff\xff\xff\x7fabc',
    'bytearray that is not there': b'}U\x01a\x96' + (2**40).to_bytes(8, 'little') + b'abc',
    'frame that is not there': b'}\x95' + (2**50).to_bytes(8, 'little') + b'abc',
    'copies of a text': b'}U\x01a]' + TEXT + b'q\x010('
    + call('_codecs', 'encode', b'h\x01\x85') * 4000 + b'es',
}  # fmt: skip


@in_one_test('opcodes', BOMBS.values(), ids=BOMBS)
def test_small_pickle_cannot_become_large_or_slow(tmp_path, opcodes):
    path = tmp_path / 'bomb.pdparams'
    path.write_bytes(b'\x80\x05' + opcodes + b'.')
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(CheckpointError):
        read_checkpoint(path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000  # KiB


def test_many_tensors_over_the_same_bytes_are_refused(tmp_path):
    row = torch.zeros(1 << 16)
    torch.save({'state_dict': {str(i): row.view(-1) for i in range(200)}}, tmp_path / 'views.pth')
    with pytest.raises(CheckpointError, match='declares far more data'):
        read_checkpoint(tmp_path / 'views.pth')
    torch.save({'w': torch.zeros(1).expand(2**40)}, tmp_path / 'stretched.pth')
    with pytest.raises(CheckpointError, match='declares far more data'):
        read_checkpoint(tmp_path / 'stretched.pth')


def rewritten(source, target, change) -> None:
    """Copies a zip file, with ``change(name, content)`` -> (content, compression)."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, 'w') as new:
        for name in old.namelist():
            content, kind = change(name, old.read(name))
            new.writestr(zipfile.ZipInfo(name), content, kind)


@pytest.mark.parametrize(
    ('what', 'change'),
    [
        ('compressed entry', lambda name, data: (data, zipfile.ZIP_DEFLATED)),
        ('byte order', lambda name, data: (b'l' * 1000 if 'order' in name else data, 0)),
        ('size of its entry', lambda name, data: (data[:-4] if '/data/' in name else data, 0)),
    ],
)  # fmt: skip
def test_zip_entry_that_is_not_as_torch_writes_it_is_refused(tmp_path, what, change):
    torch.save({'w': torch.ones(4)}, tmp_path / 'good.pth')
    rewritten(tmp_path / 'good.pth', tmp_path / 'bad.pth', change)
    with pytest.raises(CheckpointError, match=what):
        read_checkpoint(tmp_path / 'bad.pth')


def test_zip_that_declares_more_than_it_holds_is_refused(tmp_path):
    torch.save({'w': torch.ones(4)}, tmp_path / 'w.pth')
    content = bytearray((tmp_path / 'w.pth').read_bytes())
    for mark, place in ((b'PK\x01\x02', 24), (b'PK\x03\x04', 22)):  # directory and entry
        start = -1
        while (start := content.find(mark, start + 1)) >= 0:
            name_at = start + (46 if place == 24 else 30)
            if content[name_at : name_at + 40].find(b'/data/0') >= 0:
                content[start + place : start + place + 4] = (1 << 31).to_bytes(4, 'little')
    (tmp_path / 'w.pth').write_bytes(content)
    with pytest.raises(CheckpointError, match='damaged'):
        read_checkpoint(tmp_path / 'w.pth')


@pytest.mark.parametrize('kept', [[], [1]])
def test_legacy_file_without_the_elements_of_a_tensor_is_refused(tmp_path, kept):
    """Its weights would be zeros."""
    path = tmp_path / 'w.pth'
    save_legacy({'a': torch.ones(2), 'b': torch.ones(2)}, path)
    with open(path, 'rb') as file:
        for _ in range(4):  # magic number, version, machine, object: up to the storage keys
            _skip_pickle(file)
        head, keys = path.read_bytes()[: file.tell()], pickle.load(file)
        elements = [file.read(8 + 8) for _ in keys]
    content = b''.join(elements[i] for i in kept)
    path.write_bytes(head + pickle.dumps([keys[i] for i in kept], 2) + content)
    with pytest.raises(CheckpointError, match=f'{path}.*storage'):
        read_checkpoint(path)


def _skip_pickle(file) -> None:
    for opcode, _, _ in pickletools.genops(file):
        if opcode.name == 'STOP':
            return
