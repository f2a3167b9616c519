"""Prints a config with its bases merged, or compares two; --help lists the options."""

import sys

import _checkout  # noqa: F401

from openseg_plugin.cli.main import run

if __name__ == '__main__':
    sys.exit(run('openseg_plugin.cli.config'))
