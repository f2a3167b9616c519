"""Ours against stock mmseg: postproc|slide|tta|metric|loss|model|all [--size H W] [--json FILE]."""

import sys

import _checkout  # noqa: F401

from openseg_plugin.cli.main import run

if __name__ == '__main__':
    sys.exit(run('benchmarks.__main__'))
