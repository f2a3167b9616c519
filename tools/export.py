"""Exports a model: CONFIG CHECKPOINT OUT (.onnx, .xml or .pt2); --help lists all."""

import sys

import _checkout  # noqa: F401

from openseg_plugin.cli.main import run

if __name__ == '__main__':
    sys.exit(run('openseg_plugin.cli.export'))
