"""SegFix without a network: make-targets LABELS OUT, apply LABELS OFFSETS OUT [--gt GT]; --help."""

import sys

from openseg_plugin.engine.cli import run
from openseg_plugin.segfix.command import main

if __name__ == '__main__':
    sys.exit(run(main))
