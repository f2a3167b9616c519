"""``openseg synth OUT``: draws Cityscapes-format street scenes."""

import contextlib
import sys
from collections.abc import Sequence

from openseg_plugin.cli.main import print_json, run
from openseg_plugin.cli.parser import ArgumentParser, folder_path, seed, whole_number
from openseg_plugin.errors import ConfigError

EXAMPLES = """examples:
  openseg synth data/raw
  openseg synth data/raw --train 500 --size 512 1024"""
_SMALLEST = 64  # pixels; smaller scenes show nothing


def main(argv: Sequence[str] | None = None) -> None:
    """Draws what the arguments ask for.

    Raises:
        ConfigError: sizes or numbers that make no scene.
        DataError: the folder holds scenes of other settings, or cannot be written.
    """
    args = build_parser().parse_args(argv)
    height, width = args.size
    if min(height, width) < _SMALLEST:
        raise ConfigError(f'--size {height} {width}: give {_SMALLEST} pixels or more')
    from openseg_plugin.synth.dataset import Settings, write_dataset

    counts = {'train': args.train, 'val': args.val}
    with contextlib.redirect_stdout(sys.stderr if args.json else sys.stdout):
        number = write_dataset(
            args.out, Settings(args.seed, height, width), counts=counts, workers=args.workers
        )
    if args.json:
        print_json(dict(out=str(args.out), **counts, new=number))
        return
    print(f'{args.out}: {args.train} scenes to train on, {args.val} to validate on, {number} new')


def build_parser() -> ArgumentParser:
    """All options."""
    parser = ArgumentParser(
        'Draw street scenes with labels, in the raw layout of the Cityscapes release.',
        epilog=EXAMPLES,
    )
    parser.add_argument('out', type=folder_path, metavar='OUT', help='target folder')
    parser.add_argument(
        '--train', type=whole_number(0), default=120, metavar='N', help='scenes to train on'
    )
    parser.add_argument(
        '--val', type=whole_number(0), default=24, metavar='N', help='scenes to validate on'
    )
    parser.add_argument(
        '--size', type=int, nargs=2, default=(256, 512), metavar=('H', 'W'), help='pixels'
    )
    parser.add_argument(
        '--seed', type=seed, default=0, metavar='N', help='equal seeds give equal scenes'
    )
    parser.add_argument(
        '--workers', type=whole_number(1), metavar='N', help='processes (default: all cores)'
    )
    parser.add_argument('--json', action='store_true', help='print what was drawn as JSON')
    return parser


if __name__ == '__main__':
    sys.exit(run(main))
