"""``openseg browse-dataset``: samples as the network sees them, on a page or as images."""

import contextlib
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from openseg_plugin.cli.main import print_json, quiet_libraries, run
from openseg_plugin.cli.parser import ArgumentParser, folder, seed, whole_number

if TYPE_CHECKING:
    from openseg_plugin.data_checks.browse import Sample

EXAMPLES = """examples:
  openseg browse-dataset ocr/hrnet48_cityscapes_80k.py
  openseg browse-dataset my.py --split val --num 4 --out val_samples --png"""


def main(argv: Sequence[str] | None = None) -> int:
    """Writes the samples; prints where.

    Raises:
        ConfigError: a config that cannot be read, or has no such split.
        CheckpointError: there is no such MODEL.
        DataError: files of the dataset are missing or broken.
    """
    args = build_parser().parse_args(argv)
    from openseg_plugin.data_checks.browse import Browser, write_images, write_page
    from openseg_plugin.inference.models import model_config

    quiet_libraries()
    cfg = model_config(args.config, options=args.cfg_options)
    browser = Browser(cfg, split=args.split, name=args.config)
    write = write_images if args.png else write_page
    title = f'{args.split} samples of {args.config}'
    shown: list[dict[str, Any]] = []

    def samples() -> Iterator['Sample']:
        for sample in browser.samples(args.num, seed=args.seed):
            parts = {part.name: part.fraction for part in sample.classes}
            shown.append(dict(image=sample.name, size=sample.image.shape[:2], classes=parts))
            yield sample

    with contextlib.redirect_stdout(sys.stderr if args.json else sys.stdout):
        written = write(Path(args.out), browser, samples(), title=title)
    if args.json:
        print_json(dict(out=str(written), split=args.split, samples=shown))
    else:
        print(f'samples: {written}')
    return 0


def build_parser() -> ArgumentParser:
    """All options."""
    parser = ArgumentParser(
        'Show samples as the network sees them: cropped, flipped, colored and padded as the '
        'config says, with their labels drawn over them.',
        epilog=EXAMPLES,
    )
    parser.add_config_argument()
    parser.add_argument(
        '--split', choices=('train', 'val', 'test'), default='train', help='whose pipeline runs'
    )
    parser.add_argument(
        '--num', type=whole_number(1), default=12, metavar='N', help='samples (default: 12)'
    )
    parser.add_argument(
        '--seed', type=seed, default=0, metavar='N', help='equal seeds give equal samples'
    )
    parser.add_argument(
        '--out',
        type=folder,
        default='browse',
        metavar='DIR',
        help='folder to write (default: browse)',
    )
    parser.add_argument('--json', action='store_true', help='print the samples as JSON')
    parser.add_argument('--png', action='store_true', help='PNG files instead of one page')
    parser.add_cfg_options()
    return parser


if __name__ == '__main__':
    sys.exit(run(main))
