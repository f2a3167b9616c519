"""Freed memory is taken again, in a process of its own: it concerns the whole process."""

import platform
import subprocess
import sys

import pytest

PROGRAM = """
import resource
import torch
from openseg_plugin.layers.memory import reuse_freed_memory

assert reuse_freed_memory()
for _ in range(24):  # glibc before 2.38 holds a few blocks before it takes one again
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    large = torch.ones(2**24)  # 64 MiB
    del large
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != 'glibc', reason='glibc only')
def test_freed_memory_is_taken_again():
    done = subprocess.run([sys.executable, '-c', PROGRAM], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 2**24 * 4 / 4096 / 10
