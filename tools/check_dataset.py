"""Reads every label of a config or folder and names what is wrong: CONFIG|FOLDER [--report DIR]."""

import sys

import _checkout  # noqa: F401

from openseg_plugin.cli.main import run

if __name__ == '__main__':
    sys.exit(run('openseg_plugin.cli.check_dataset'))
