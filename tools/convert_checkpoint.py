"""Weights of other projects: SRC [DST] [--format F] [--verify IMAGE...]; --help lists all."""

import sys

import _checkout  # noqa: F401

from openseg_plugin.cli.main import run

if __name__ == '__main__':
    sys.exit(run('openseg_plugin.cli.convert_checkpoint'))
