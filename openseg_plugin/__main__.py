"""``python -m openseg_plugin``: the same as ``openseg``."""

import sys

from openseg_plugin.cli.main import main

if __name__ == '__main__':
    sys.exit(main())
