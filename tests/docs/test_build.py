"""Sphinx builds every page without a warning, those of the API from all docstrings included."""

import os
import subprocess
import sys

import pytest
from doc_pages import PROJECT


@pytest.mark.slow
def test_documentation_is_built_without_a_warning(tmp_path):
    environment = {**os.environ, 'OMP_NUM_THREADS': '1', 'PYTHONPATH': str(PROJECT)}
    command = [sys.executable, '-m', 'sphinx', '-q', '-W', '--keep-going', '-b', 'html']
    command += ['-d', str(tmp_path / 'doctrees'), 'docs', str(tmp_path / 'html')]
    done = subprocess.run(command, cwd=PROJECT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-4000:]
    assert (tmp_path / 'html/api/generated/openseg_plugin.layers.html').is_file()
