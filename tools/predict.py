"""Predicts images and videos: MODEL SOURCE... --out DIR [--save ...] [--tile ...] [...]; --help."""

import sys

import _checkout  # noqa: F401

from openseg_plugin.cli.main import run

if __name__ == '__main__':
    sys.exit(run('openseg_plugin.cli.predict'))
