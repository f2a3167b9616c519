"""Trains a segmentor: CONFIG [--work-dir DIR] [--resume [PATH]] [--amp] [...]; --help lists all."""

import sys

from openseg_plugin.engine.cli import run
from openseg_plugin.engine.train import main

if __name__ == '__main__':
    sys.exit(run(main))
