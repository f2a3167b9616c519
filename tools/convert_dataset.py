"""Converts a data set as downloaded, or your own pictures with labels: NAME SRC DST [options]."""

import sys

import _checkout  # noqa: F401

from openseg_plugin.engine.cli import run

if __name__ == '__main__':
    sys.exit(run('openseg_plugin.engine.convert_dataset'))
