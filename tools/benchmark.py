"""Ours against stock mmseg: train|test|tta|predict|startup, or a part; --help lists them."""

import sys

import _checkout  # noqa: F401

from openseg_plugin.cli.main import run

if __name__ == '__main__':
    sys.exit(run('benchmarks.__main__'))
