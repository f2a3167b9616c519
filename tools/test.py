"""Tests a segmentor: CONFIG CHECKPOINT [--aug-test] [--out DIR] [--show-dir DIR] [...]; --help."""

import sys

import _checkout  # noqa: F401

from openseg_plugin.cli.main import run

if __name__ == '__main__':
    sys.exit(run('openseg_plugin.cli.test'))
