"""Command line of SegFix without a network: ``make-targets`` and ``apply``."""

import argparse
import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn

from openseg_plugin.errors import ConfigError
from openseg_plugin.evaluation.boundary import F_THRESHOLDS
from openseg_plugin.segfix.apply import ApplyOptions, apply_labels
from openseg_plugin.segfix.apply_masks import apply_masks
from openseg_plugin.segfix.refine import SAMPLINGS
from openseg_plugin.segfix.regions import KINDS, MIN_PIXELS
from openseg_plugin.segfix.targets import METRICS, TargetOptions, make_targets


class _Parser(argparse.ArgumentParser):
    """Parser whose mistakes are ConfigError, as those of all tools."""

    def error(self, message: str) -> NoReturn:
        raise ConfigError(f'{self.prog}: {message}; {self.prog} --help lists what there is')


def main(argv: Sequence[str] | None = None) -> None:
    """Does what the command line says.

    Raises:
        ConfigError: arguments that do not fit.
        DataError: files or folders that cannot be used.
    """
    args = build_parser().parse_args(argv)
    args.do(args)


def build_parser(
    *further: Callable[[argparse._SubParsersAction], None],
) -> argparse.ArgumentParser:
    """One sub-command per step; ``further`` functions add theirs."""
    parser = _Parser(prog='segfix.py', description='Mends the edges of label maps (SegFix).')
    steps = parser.add_subparsers(dest='step', metavar='STEP', required=True)
    _add_make_targets(steps)
    _add_apply(steps)
    for add in further:
        add(steps)
    return parser


def _add_make_targets(steps: argparse._SubParsersAction) -> None:
    step = steps.add_parser(
        'make-targets',
        help='distance and direction maps to train on',
        description='Makes the training targets of SegFix from a folder of label maps.',
    )
    step.add_argument('labels', type=Path, metavar='LABELS', help='folder of label maps')
    step.add_argument('out', type=Path, metavar='OUT', help='folder for the targets')
    _add_common(step)
    step.add_argument('--metric', choices=METRICS, default='euclidean', help='of the distances')
    step.add_argument('--kernel-size', type=_odd, default=5, metavar='N', help='gradient window')
    step.add_argument(
        '--min-pixels',
        type=int,
        default=MIN_PIXELS,
        metavar='N',
        help=f'classes on fewer pixels of a picture are left out (default {MIN_PIXELS})',
    )
    step.set_defaults(do=_make_targets)


def _add_apply(steps: argparse._SubParsersAction) -> None:
    step = steps.add_parser(
        'apply',
        help='mend label maps or object masks with offsets',
        description='Mends every label map of a folder with the offsets of the same name.',
    )
    step.add_argument('labels', type=Path, metavar='LABELS', help='folder of label maps')
    step.add_argument(
        'offsets',
        type=Path,
        metavar='OFFSETS',
        help="folder or zip of offsets (or of targets: the ground truth's own offsets)",
    )
    step.add_argument('out', type=Path, metavar='OUT', help='folder for the mended maps')
    _add_common(step)
    step.add_argument(
        '--instance',
        action='store_true',
        help='LABELS holds *_pred.txt lists of object masks (and --gt instance ids)',
    )
    step.add_argument('--gt', type=Path, metavar='DIR', help='ground truth: score before and after')
    step.add_argument(
        '--scale', type=float, metavar='S', help='offsets times S (default 2; --instance: 1)'
    )
    step.add_argument(
        '--sampling',
        choices=SAMPLINGS,
        default='gather',
        help="gather (default) or, to compare, the blending of the original's code",
    )
    step.add_argument(
        '--boundary',
        type=float,
        default=F_THRESHOLDS['openseg'],
        metavar='R',
        help='radius of boundary F: pixels, or below 1 a share of the diagonal (default 0.00088)',
    )
    step.add_argument('--report', type=Path, metavar='FILE', help='write the scores as JSON')
    step.set_defaults(do=_apply)


def _add_common(step: argparse.ArgumentParser) -> None:
    kinds = '; '.join(f'{name}: {meaning}' for name, meaning in KINDS.items())
    step.add_argument(
        '--kind',
        choices=list(KINDS),
        help=f'what the numbers mean (default: found out by looking). {kinds}',
    )
    step.add_argument(
        '--num-classes', type=int, metavar='K', help='refuse train ids from K on (but 255)'
    )
    step.add_argument(
        '--void', type=int, nargs='+', default=[], metavar='V', help='further values that are void'
    )
    step.add_argument('--workers', type=int, metavar='N', help='threads (default: all cores)')
    step.add_argument('--debug', action='store_true', help='show where an error arose')


def _make_targets(args: argparse.Namespace) -> None:
    make_targets(
        args.labels,
        args.out,
        TargetOptions(
            kind=args.kind,
            num_classes=args.num_classes,
            void=tuple(args.void),
            metric=args.metric,
            kernel_size=args.kernel_size,
            min_pixels=args.min_pixels,
            workers=args.workers,
        ),
    )


def _apply(args: argparse.Namespace) -> None:
    scale = args.scale if args.scale is not None else (1 if args.instance else 2)
    if scale != int(scale) and args.sampling == 'gather':
        raise ConfigError(
            f'--scale {scale} moves by fractions of a pixel: give an integer, or --sampling '
            'bilinear to blend label numbers as the original does'
        )
    options = ApplyOptions(
        kind=args.kind,
        num_classes=args.num_classes,
        void=tuple(args.void),
        scale=scale,
        sampling=args.sampling,
        boundary=args.boundary,
        workers=args.workers,
    )
    function = apply_masks if args.instance else apply_labels
    summary = function(args.labels, args.offsets, args.out, options=options, gt=args.gt)
    if args.report:
        text = json.dumps(_plain(summary), indent=2, allow_nan=False)
        args.report.write_text(f'{text}\n', encoding='utf-8')


def _plain(figures: dict | float | None) -> dict | float | None:
    """Tables with None for nan, which JSON does not have."""
    if isinstance(figures, dict):
        return {name: _plain(value) for name, value in figures.items()}
    return None if figures is None or math.isnan(figures) else figures


def _odd(text: str) -> int:
    value = int(text)
    if value < 3 or value % 2 == 0:
        raise argparse.ArgumentTypeError(f'{value} is not an odd number of at least 3')
    return value
