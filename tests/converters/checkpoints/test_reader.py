"""Reading gives what torch and others wrote, and says what is wrong with a file."""

import pickle
import random
from collections import OrderedDict

import numpy as np
import pytest
import torch
from in_one_test import in_one_test

from openseg_plugin.converters.checkpoints import read_checkpoint
from openseg_plugin.errors import CheckpointError


def save_zip(obj, path):
    torch.save(obj, path)


def save_legacy(obj, path):
    torch.save(obj, path, _use_new_zipfile_serialization=False)


TORCH_FORMATS = [save_zip, save_legacy]


def training_state():
    """What runs write: tensors that share memory, numpy scalars, random states, plain Python."""
    weight = torch.randn(4, 3, 2, 2)
    model = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 1), torch.nn.BatchNorm2d(4))
    optimizer = torch.optim.AdamW(model.parameters())
    model(torch.randn(2, 3, 4, 4)).sum().backward()
    optimizer.step()
    return {
        'state_dict': model.state_dict(),
        'parameter': torch.nn.Parameter(weight),
        'shared': (weight, weight[1:, ::2], weight.permute(3, 2, 1, 0)),
        'types': [
            torch.arange(5).to(t)
            for t in (torch.float64, torch.float16, torch.bfloat16, torch.int64, torch.uint8,
                      torch.bool, torch.complex64)
        ],
        'empty': torch.empty(0, 3),
        'scalar': torch.tensor(3.5),
        'optimizer': optimizer.state_dict(),
        'numpy': [np.float64(1.5), np.float32(2.5), np.int64(3), np.bool_(True), np.str_('x')],
        'arrays': [np.arange(6).reshape(2, 3), np.asfortranarray(np.eye(3)), np.array(['a', 'bc']),
                   np.arange(3, dtype='>f4'), np.zeros((0, 2)), np.array(5.0)],
        'random': {
            'torch': torch.get_rng_state(),
            'numpy': np.random.get_state(),
            'python': random.getstate(),
        },
        'config_dict': {
            'plain': [None, True, 1, 2**70, 1.5, 1j, 'text', b'bytes', ..., (1, 2)],
            'sets': [{1, 2}, frozenset({3})],
            'others': [range(3), slice(1, 2), bytearray(b'x'), int, OrderedDict(a=1)],
            'torch': [torch.float16, torch.Size([1, 2]), torch.device('cpu')],
        },
    }  # fmt: skip


def assert_equal(actual, expected):
    assert type(actual) is type(expected)
    if isinstance(expected, torch.Tensor):
        assert actual.dtype == expected.dtype
        assert torch.equal(actual, expected)
    elif isinstance(expected, np.ndarray):
        assert actual.dtype == expected.dtype.newbyteorder('=')
        np.testing.assert_array_equal(actual, expected)
    elif isinstance(expected, dict):
        assert list(actual) == list(expected)
        for key, value in expected.items():
            assert_equal(actual[key], value)
    elif isinstance(expected, list | tuple):
        assert len(actual) == len(expected)
        for ours, theirs in zip(actual, expected):
            assert_equal(ours, theirs)
    else:
        assert actual == expected


@pytest.mark.parametrize('save', TORCH_FORMATS)
def test_training_state_comes_back_as_written(tmp_path, save):
    written = training_state()
    save(written, tmp_path / 'a.pth')
    read = read_checkpoint(tmp_path / 'a.pth')
    assert_equal(read, written)
    assert read['state_dict']._metadata == written['state_dict']._metadata
    base, view, _ = read['shared']
    base.zero_()
    assert not view.any()  # still views of the same storage


@in_one_test('protocol', range(6))
def test_pickled_numpy_arrays_are_read(tmp_path, protocol):
    written = {
        'a.weight': np.random.randn(3, 4).astype('float32'),
        'a.bias': np.arange(3.0),
        'StructuredToParameterName@@': {'a.weight': 'conv2d_0.w_0'},
    }
    (tmp_path / 'a.pdparams').write_bytes(pickle.dumps(written, protocol))
    assert_equal(read_checkpoint(tmp_path / 'a.pdparams'), written)


def test_python2_spellings_are_read(tmp_path):
    path = tmp_path / 'old.pkl'
    path.write_bytes(b'(dp0\nS"w"\np1\nc__builtin__\nset\np2\n((lp3\nI1\natp4\nRp5\ns.')
    assert read_checkpoint(path) == {'w': {1}}


def test_big_endian_file_is_read(tmp_path):
    import zipfile

    torch.save({'w': torch.tensor([1.0, 2.0])}, tmp_path / 'little.pth')
    with (
        zipfile.ZipFile(tmp_path / 'little.pth') as source,
        zipfile.ZipFile(tmp_path / 'big.pth', 'w') as target,
    ):
        for name in source.namelist():
            data = source.read(name)
            if name.endswith('byteorder'):
                data = b'big'
            elif '/data/' in name:
                data = np.frombuffer(data, '<f4').astype('>f4').tobytes()
            target.writestr(name, data)
    assert_equal(read_checkpoint(tmp_path / 'big.pth'), {'w': torch.tensor([1.0, 2.0])})


@in_one_test('save', TORCH_FORMATS)
@in_one_test('share', [0.02, 0.5, 0.999])
def test_truncated_file_is_one_clear_error(tmp_path, save, share):
    path = tmp_path / 'cut.pth'
    save(training_state(), path)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(CheckpointError, match=r'download or copy it again'):
        read_checkpoint(path)


def test_flipped_bits_are_found(tmp_path):
    path = tmp_path / 'a.pth'
    torch.save({'w': torch.zeros(1000)}, path)
    data = bytearray(path.read_bytes())
    data[data.index(b'\0' * 3000) + 1000] ^= 1
    path.write_bytes(data)
    with pytest.raises(CheckpointError, match='damaged'):
        read_checkpoint(path)


@in_one_test(
    ('content', 'message'),
    [
        (b'', 'is empty'),
        (b'\n <!DOCTYPE html><html>404</html>', 'is a web page'),
        (b'version https://git-lfs.github.com/spec/v1\noid', 'is a Git LFS pointer'),
        (b'\x1f\x8b\x08\0', 'gzip'),
        (b'\0' * 257 + b'ustar\0' + b'\0' * 300, 'is a tar archive'),
        (b'hello world', 'not a checkpoint in a known format.*hello wo'),
        (b'PK\x05\x06' + b'\0' * 18, 'truncated or damaged'),
        (pickle.dumps([1, 2]), 'holds a list'),
        (pickle.dumps({'w': np.array([{}, None])}), 'numpy array of Python objects'),
    ],
)
def test_wrong_file_is_one_clear_error(tmp_path, content, message):
    path = tmp_path / 'wrong.pth'
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=message) as caught:
        read_checkpoint(path)
    assert str(path) in str(caught.value)
    assert '\n' not in str(caught.value)


def test_torchscript_archive_is_refused(tmp_path):
    import zipfile

    with zipfile.ZipFile(tmp_path / 'program.pt', 'w') as archive:
        archive.writestr('program/data.pkl', pickle.dumps({}))
        archive.writestr('program/constants.pkl', b'')
    with pytest.raises(CheckpointError, match='TorchScript'):
        read_checkpoint(tmp_path / 'program.pt')


def test_missing_file_and_directory_are_named(tmp_path):
    with pytest.raises(CheckpointError, match=r'missing\.pth does not exist'):
        read_checkpoint(tmp_path / 'missing.pth')
    with pytest.raises(CheckpointError, match='is a directory'):
        read_checkpoint(tmp_path)


def test_safetensors_whose_length_looks_like_another_file_is_read(tmp_path):
    """The first bytes are the length of the header: here a blank and the start of a web page."""
    length = 0x3C20
    header = b'{"w":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}'.ljust(length)
    value = np.float32(1.5).tobytes()
    (tmp_path / 'w.safetensors').write_bytes(length.to_bytes(8, 'little') + header + value)
    assert read_checkpoint(tmp_path / 'w.safetensors')['state_dict']['w'].tolist() == [1.5]
