"""``openseg segfix``: make-targets and apply need no network, predict and show."""

import argparse
import contextlib
import json
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from openseg_plugin.cli.main import print_json, quiet_libraries, run
from openseg_plugin.cli.parser import (
    ArgumentParser,
    example,
    folder_path,
    positive_number,
    whole_number,
)
from openseg_plugin.errors import ConfigError, DataError
from openseg_plugin.evaluation import F_THRESHOLDS
from openseg_plugin.segfix import KINDS, METRICS, MIN_PIXELS, SAMPLINGS

EXAMPLES = """examples:
  openseg segfix apply LABELS offsets.zip REFINED --gt GT
  openseg segfix predict segfix/hrnet2x20_cityscapes_80k.py weights.pth IMAGES OFFSETS
  openseg segfix show LABEL.png OFFSET.png sheet.png"""
THRESHOLDS_ON = {'prob': True, 'logit': False}  # -> softmax


def main(argv: Sequence[str] | None = None) -> None:
    """Does what the command line says.

    Raises:
        ConfigError: arguments that do not fit.
        DataError: files or folders that cannot be used.
        CheckpointError: weights that cannot be used.
    """
    args = build_parser().parse_args(argv)
    if not getattr(args, 'json', False):
        args.do(args)
        return
    with contextlib.redirect_stdout(sys.stderr):
        told = args.do(args)
    print_json(told)


def build_parser() -> ArgumentParser:
    """One sub-command per step."""
    parser = ArgumentParser('Refine the edges of label maps (SegFix).', epilog=EXAMPLES)
    steps = parser.add_subparsers(dest='step', metavar='STEP', required=True)
    for add in (_add_make_targets, _add_apply, _add_predict, _add_show):
        add(steps)
    return parser


def _add_make_targets(steps: argparse._SubParsersAction) -> None:
    step = steps.add_parser(
        'make-targets',
        help='distance and direction maps to train on',
        description='Makes the training targets of SegFix from a folder of label maps.',
        epilog=example('segfix make-targets LABELS OFFSETS --kind train'),
    )
    step.add_argument('labels', type=Path, metavar='LABELS', help='folder of label maps')
    step.add_argument('out', type=folder_path, metavar='OUT', help='folder for the targets')
    _add_common(step)
    step.add_argument('--metric', choices=METRICS, default='euclidean', help='of the distances')
    step.add_argument('--kernel-size', type=_odd, default=5, metavar='N', help='gradient window')
    step.add_argument(
        '--min-pixels',
        type=int,
        default=MIN_PIXELS,
        metavar='N',
        help=f'classes on fewer pixels of an image are left out (default {MIN_PIXELS})',
    )
    _add_json(step)
    step.set_defaults(do=_make_targets)


def _add_apply(steps: argparse._SubParsersAction) -> None:
    step = steps.add_parser(
        'apply',
        help='refine label maps or object masks with offsets',
        description='Refines every label map of a folder with the offsets of the same name.',
        epilog=example('segfix apply LABELS offsets.zip REFINED --gt GT'),
    )
    step.add_argument('labels', type=Path, metavar='LABELS', help='folder of label maps')
    step.add_argument(
        'offsets',
        type=Path,
        metavar='OFFSETS',
        help="folder or zip of offsets (or of targets: the ground truth's own offsets)",
    )
    step.add_argument('out', type=folder_path, metavar='OUT', help='folder for the refined maps')
    _add_common(step)
    step.add_argument(
        '--instance',
        action='store_true',
        help='LABELS holds *_pred.txt lists of object masks (and --gt instance ids)',
    )
    step.add_argument('--gt', type=Path, metavar='DIR', help='ground truth: score before and after')
    step.add_argument(
        '--scale',
        type=positive_number,
        metavar='S',
        help='offsets times S (default 2; --instance: 1)',
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
        help='radius of boundary F: pixels, or below 1 a fraction of the diagonal (0.00088)',
    )
    step.add_argument('--report-file', type=Path, metavar='FILE', help='write the scores as JSON')
    step.add_argument('--json', action='store_true', help='print the scores as JSON')
    step.set_defaults(do=_apply)


def _add_common(step: argparse.ArgumentParser) -> None:
    kinds = '; '.join(f'{name}: {meaning}' for name, meaning in KINDS.items())
    step.add_argument(
        '--kind',
        choices=list(KINDS),
        help=f'what the numbers mean (default: found out by looking). {kinds}',
    )
    step.add_argument(
        '--num-classes',
        type=whole_number(1),
        metavar='K',
        help='refuse train ids from K on (but 255)',
    )
    step.add_argument(
        '--ignore-values',
        type=int,
        nargs='+',
        default=[],
        metavar='V',
        help='further values that are ignored',
    )
    step.add_argument(
        '--workers', type=whole_number(1), metavar='N', help='threads (default: all cores)'
    )


def _make_targets(args: argparse.Namespace) -> dict[str, Any]:
    from openseg_plugin.segfix.targets import TargetOptions, make_targets

    made = make_targets(
        args.labels,
        args.out,
        TargetOptions(
            kind=args.kind,
            num_classes=args.num_classes,
            void=tuple(args.ignore_values),
            metric=args.metric,
            kernel_size=args.kernel_size,
            min_pixels=args.min_pixels,
            workers=args.workers,
        ),
    )
    return made | dict(out=str(args.out))


def _apply(args: argparse.Namespace) -> dict[str, Any]:
    from openseg_plugin.segfix.apply import ApplyOptions, apply_labels, apply_masks

    scale = args.scale if args.scale is not None else (1 if args.instance else 2)
    if scale != int(scale) and args.sampling == 'gather':
        raise ConfigError(
            f'--scale {scale} moves by fractions of a pixel: give an integer, or --sampling '
            'bilinear to blend label numbers as the original does'
        )
    options = ApplyOptions(
        kind=args.kind,
        num_classes=args.num_classes,
        void=tuple(args.ignore_values),
        scale=scale,
        sampling=args.sampling,
        boundary=args.boundary,
        workers=args.workers,
    )
    function = apply_masks if args.instance else apply_labels
    summary = function(args.labels, args.offsets, args.out, options=options, gt=args.gt)
    if args.report_file:
        text = json.dumps(_plain(summary), indent=2, allow_nan=False)
        args.report_file.write_text(f'{text}\n', encoding='utf-8')
    return summary or {}


def _plain(metrics: dict | float | None) -> dict | float | None:
    """Tables with None for nan, which JSON does not have."""
    if isinstance(metrics, dict):
        return {name: _plain(value) for name, value in metrics.items()}
    return None if metrics is None or math.isnan(metrics) else metrics


def _odd(text: str) -> int:
    value = int(text)
    if value < 3 or value % 2 == 0:
        raise argparse.ArgumentTypeError(f'{value} is not an odd number of at least 3')
    return value


def _add_predict(steps: argparse._SubParsersAction) -> None:
    step = steps.add_parser(
        'predict',
        help='offsets of images, with a trained network',
        description='Predicts the offsets of every image of a folder; runs again where it was '
        'stopped.',
        epilog=example(
            'segfix predict segfix/hrnet2x20_cityscapes_80k.py weights.pth IMAGES OFFSETS'
        ),
    )
    step.add_argument('config', metavar='CONFIG', help='config of configs/segfix')
    step.add_argument('checkpoint', metavar='CKPT', help="weights, also openseg's published ones")
    step.add_argument('images', type=Path, metavar='IMAGES', help='folder of images')
    step.add_argument('out', type=folder_path, metavar='OUT', help='folder for the offsets')
    step.add_argument(
        '--format', choices=('png', 'mat'), default='png', help='compact PNG or the published .mat'
    )
    step.add_argument(
        '--mode', choices=('whole', 'slide'), help='whole images, or overlapping crops'
    )
    step.add_argument(
        '--crop-size', type=int, nargs=2, metavar=('H', 'W'), help='of --mode slide (512 512)'
    )
    step.add_argument(
        '--threshold-on',
        choices=THRESHOLDS_ON,
        help='what is compared with 0.5: the probability of a boundary or, as the original does '
        'on ADE20K (diverse_size), its raw logit; default: what the config says',
    )
    step.add_argument(
        '--batch-size', type=whole_number(1), default=1, metavar='N', help='images at a time'
    )
    step.add_argument(
        '--exact', action='store_true', help='run the network as it was trained: slower'
    )
    step.add_argument(
        '--trust-checkpoint',
        action='store_true',
        help='read checkpoints that may run code; only for files whose origin you trust',
    )
    _add_json(step)
    step.set_defaults(do=_predict)


def _add_json(step: argparse.ArgumentParser) -> None:
    step.add_argument('--json', action='store_true', help='print what was done as JSON')


def _add_show(steps: argparse._SubParsersAction) -> None:
    step = steps.add_parser(
        'show',
        help='an image of one label map: before, offsets, after',
        description='Draws a label map, its offsets as colors, and the refined label map.',
        epilog=example('segfix show LABEL.png OFFSET.png sheet.png'),
    )
    step.add_argument('label', type=Path, metavar='LABEL', help='label map')
    step.add_argument('offsets', type=Path, metavar='OFFSETS', help='its offsets or targets')
    step.add_argument('out', type=Path, metavar='OUT', help='image to write, .png or .jpg')
    step.add_argument('--image', type=Path, metavar='FILE', help='shown through the labels')
    step.add_argument(
        '--scale', type=whole_number(1), default=2, metavar='S', help='offsets times S (2)'
    )
    step.set_defaults(do=_show)


def _show(args: argparse.Namespace) -> None:
    import cv2

    from openseg_plugin.segfix.drawing import draw_segfix
    from openseg_plugin.utils.batch import refuse_input

    refuse_input(args.out, args.label, args.offsets, args.image)
    sheet = draw_segfix(args.label, args.offsets, image=args.image, scale=args.scale)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    try:
        written = cv2.imwrite(str(args.out), cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR))
    except cv2.error:  # a suffix that OpenCV does not write
        written = False
    if not written:
        raise DataError(f'{args.out} cannot be written: give the name of a .png or .jpg file')


def _predict(args: argparse.Namespace) -> dict[str, Any]:
    # the other steps need no mmengine, and so do not wait for it
    from openseg_plugin import compat
    from openseg_plugin.inference.models import weights_file
    from openseg_plugin.segfix.network import OffsetNetwork, predict_folder
    from openseg_plugin.utils.files import digest_of

    if args.trust_checkpoint:
        compat.trust_checkpoints(True)
    options: dict[str, object] = {}
    if args.mode:
        options['model.test_cfg.mode'] = args.mode
    if args.crop_size:
        options['model.test_cfg.crop_size'] = tuple(args.crop_size)
    if args.threshold_on:
        options['model.test_cfg.softmax'] = THRESHOLDS_ON[args.threshold_on]
    quiet_libraries()
    args.checkpoint = weights_file(args.checkpoint)
    network = OffsetNetwork(args.config, args.checkpoint, options=options, exact=args.exact)
    done = predict_folder(
        network,
        args.images,
        args.out,
        suffix=f'.{args.format}',
        batch_size=args.batch_size,
        record=dict(
            config=args.config,
            checkpoint=str(Path(args.checkpoint).resolve()),
            weights=digest_of(args.checkpoint),
            exact=args.exact,
            options={name: str(value) for name, value in options.items()},
        ),
    )
    return {**done, 'out': str(args.out)}


if __name__ == '__main__':
    sys.exit(run(main))
