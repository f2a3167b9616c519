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
large = torch.ones(2**25)
del large
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
large = torch.ones(2**25)  # 128 MiB
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != 'glibc', reason='glibc only')
def test_reuse_freed_memory_asks_the_system_for_no_page_twice():
    done = subprocess.run([sys.executable, '-c', PROGRAM], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 2**25 * 4 / 4096 / 10
