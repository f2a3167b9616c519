"""``openseg config``: a config with all its bases merged, or what differs between two."""

import contextlib
import json
import sys
from collections.abc import Sequence

from openseg_plugin.cli.main import run
from openseg_plugin.cli.parser import ArgumentParser

EXAMPLES = """examples:
  openseg config ocr/hrnet48_cityscapes_80k.py
  openseg config my.py --diff ocr/hrnet48_cityscapes_80k.py
  openseg config best.pth"""


def main(argv: Sequence[str] | None = None) -> None:
    """Prints the flattened config or the differences.

    Raises:
        ConfigError: a config that does not exist or cannot be read.
        CheckpointError: a MODEL that does not exist or holds no config.
    """
    args = build_parser().parse_args(argv)

    from openseg_plugin.config.loading import as_json, as_text, differences
    from openseg_plugin.inference.models import model_config

    with contextlib.redirect_stdout(sys.stderr):  # what a download says is no result
        cfg = model_config(args.config, options=args.cfg_options)
        other = None if args.diff is None else model_config(args.diff)
    if other is None:
        print(as_json(cfg) if args.json else as_text(cfg))
        return
    found = differences(other, cfg)
    if args.json:
        print(json.dumps({key: [old, new] for key, old, new in found}, indent=1, default=str))
        return
    for key, old, new in found:
        print(f'{key}: {old!r} -> {new!r}')
    if not found:
        print(f'{args.config} and {args.diff} are equal')


def build_parser() -> ArgumentParser:
    """All options."""
    parser = ArgumentParser('Print a config with all its bases merged.', epilog=EXAMPLES)
    parser.add_config_argument()
    parser.add_argument('--diff', metavar='OTHER', help='print only what differs from OTHER')
    parser.add_argument('--json', action='store_true', help='print JSON')
    parser.add_cfg_options()
    return parser


if __name__ == '__main__':
    sys.exit(run(main))
