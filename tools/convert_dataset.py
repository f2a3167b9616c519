"""Converts a data set as downloaded, or your own pictures with labels: NAME SRC DST [options]."""

import sys

import _checkout  # noqa: F401

from openseg_plugin.cli.main import run

if __name__ == '__main__':
    sys.exit(run('openseg_plugin.cli.convert_dataset'))
