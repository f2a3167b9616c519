"""Serves a model over HTTP; --help lists the options."""

import sys

import _checkout  # noqa: F401

from openseg_plugin.cli.main import run

if __name__ == '__main__':
    sys.exit(run('openseg_plugin.cli.serve'))
