"""SegFix without a network: make-targets LABELS OUT, apply LABELS OFFSETS OUT [--gt GT]; --help."""

import sys

import _checkout  # noqa: F401

from openseg_plugin.engine.cli import run

if __name__ == '__main__':
    sys.exit(run('openseg_plugin.segfix.command'))
