"""Writing gives safetensors or torch files, whole or not at all."""

import json
import os
import subprocess
import sys
import textwrap

import numpy as np
import pytest
import torch

from openseg_plugin.converters.checkpoints import read_checkpoint, write_checkpoint
from openseg_plugin.errors import CheckpointError


def test_safetensors_keep_tensors_and_plain_text(tmp_path):
    path = tmp_path / 'a.safetensors'
    weight = torch.randn(3, 4)
    tensors = {'w': weight, 'view': weight.t(), 'half': weight.bfloat16(), 'n': np.arange(3)}
    meta = {'config': 'ocr/x.py', 'classes': ['a', 'b'], 'epoch': 3, 'lr': 0.5}
    write_checkpoint({'state_dict': tensors, 'meta': meta}, path)
    read = read_checkpoint(path)
    assert read['meta'] == meta
    assert {k: torch.as_tensor(v).tolist() for k, v in tensors.items()} == {
        k: v.tolist() for k, v in read['state_dict'].items()
    }
    header = path.read_bytes()
    length = int.from_bytes(header[:8], 'little')
    stored = json.loads(header[8 : 8 + length])['__metadata__']
    assert all(isinstance(text, str) for text in stored.values())
    assert json.loads(stored['meta']) == meta


def test_safetensors_refuse_what_they_cannot_hold(tmp_path):
    path = tmp_path / 'a.safetensors'
    write_checkpoint({'state_dict': {'w': torch.zeros(1)}}, path)
    before = path.read_bytes()
    with pytest.raises(CheckpointError, match='cannot keep "optimizer"'):
        write_checkpoint({'state_dict': {}, 'optimizer': {'p': torch.zeros(1)}}, path)
    assert path.read_bytes() == before


def test_truncated_safetensors_are_one_clear_error(tmp_path):
    path = tmp_path / 'a.safetensors'
    write_checkpoint({'state_dict': {'w': torch.zeros(100)}}, path)
    path.write_bytes(path.read_bytes()[:-50])
    with pytest.raises(CheckpointError, match='truncated or damaged'):
        read_checkpoint(path)


@pytest.mark.parametrize('suffix', ['.pth', '.safetensors'])
def test_full_disk_leaves_the_old_file_intact(tmp_path, suffix):
    """A limit on the size of files stands in for the full disk."""
    path = tmp_path / f'a{suffix}'
    write_checkpoint({'state_dict': {'w': torch.ones(10)}}, path)
    code = f"""
        import resource, sys, torch
        from openseg_plugin.converters.checkpoints import write_checkpoint
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
        try:
            write_checkpoint({{'state_dict': {{'w': torch.zeros(1_000_000)}}}}, {str(path)!r})
        except ValueError as error:
            sys.exit(f'{{type(error).__name__}}: {{error}}')
    """
    done = subprocess.run(
        [sys.executable, '-c', textwrap.dedent(code)], capture_output=True, text=True
    )
    assert done.returncode == 1, done.stderr
    assert done.stderr.startswith(f'CheckpointError: {path} could not be written: File too large')
    assert 'is intact' in done.stderr
    assert read_checkpoint(path)['state_dict']['w'].sum() == 10
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def test_file_appears_only_whole(tmp_path, monkeypatch):
    path = tmp_path / 'sub' / 'a.pth'

    def fail(*_):
        assert not path.exists()
        raise OSError(5, 'Input/output error')

    monkeypatch.setattr(os, 'fsync', fail)
    with pytest.raises(CheckpointError, match='Input/output error'):
        write_checkpoint({'w': torch.zeros(1)}, path)
    assert list(path.parent.iterdir()) == []
