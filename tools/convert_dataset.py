"""Converts a dataset as downloaded, or your own images with labels: NAME SRC DST [options]."""

import sys

import _checkout  # noqa: F401

from openseg_plugin.cli.main import run

if __name__ == '__main__':
    sys.exit(run('openseg_plugin.cli.convert_dataset'))
