"""Reading runs nothing: crafted pickles in every form are refused."""

import os
import pickle

import numpy as np
import pytest
import torch

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


@pytest.mark.parametrize('save', TORCH_FORMATS + PICKLE_FORMATS)
@pytest.mark.parametrize('attack', [Command, Evaluated])
@pytest.mark.parametrize('place', ['top', 'weights'])
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


@pytest.mark.parametrize(
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
