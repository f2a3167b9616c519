"""Published weight files: list [PART], show NAME, get NAME [--to FOLDER], convert SRC [DST]."""

import sys

import _checkout  # noqa: F401

from openseg_plugin.cli.main import run

if __name__ == '__main__':
    sys.exit(run('openseg_plugin.cli.weights'))
