"""``openseg test``: predicts, evaluates and draws the test set of a config."""

import argparse
import sys
from collections.abc import Sequence

from openseg_plugin import compat
from openseg_plugin.cli.main import print_json, quiet_libraries, run
from openseg_plugin.cli.parser import (
    ArgumentParser,
    batch_size,
    check_backend,
    folder,
    positive_number,
    seed,
    whole_number,
)
from openseg_plugin.engine.distributed import LAUNCHERS
from openseg_plugin.report import MAX_IMAGES

EXAMPLES = """examples:
  openseg test ocr/hrnet48_cityscapes_80k.py weights.pth
  openseg test my.py work_dirs/my/iter_2000.pth --report report --out labels
  openseg test street.onnx
  openseg test my.py weights.pth --aug-test --scales 0.75 1 1.25"""


def main(argv: Sequence[str] | None = None) -> int:
    """Tests as the arguments say (those of the command line by default); returns 0.

    Raises:
        UserError: whatever is wrong with arguments, config, data or checkpoint.
    """
    args = build_parser().parse_args(argv)
    from openseg_plugin.engine.runner.testing import measured, metrics_line

    _set_backend(args)
    metrics = measured(args)
    if metrics is not None and args.json:
        print_json({name: float(value) for name, value in metrics.items()})
    elif metrics is not None:
        print(metrics_line(metrics))
    return 0


def _set_backend(args: argparse.Namespace) -> None:
    """With ``--backend`` the weights are an exported file; a CONFIG that is given stays in charge.

    The config in the file stands in where there is none, and has the options already. What was
    asked for is kept in ``args.asked``.
    """
    if args.backend == 'torch':
        return
    check_backend(args)
    from openseg_plugin.inference.exported import for_backend
    from openseg_plugin.inference.models import resolve

    quiet_libraries()
    if args.trust_checkpoint:
        compat.trust_checkpoints(True)
    args.asked = argparse.Namespace(**vars(args))
    file = for_backend(
        args.backend,
        args.config,
        args.checkpoint,
        precision=args.precision,
        options=args.cfg_options,
        needs_logits=bool(args.aug_test or args.report),
    )
    if args.checkpoint is None:
        args.resolved, args.cfg_options = resolve(str(file), whole_config=True), None
    args.checkpoint, args.precision = str(file), 'fp32'


def build_parser() -> ArgumentParser:
    """All options."""
    parser = ArgumentParser('Test a segmentor.', epilog=EXAMPLES)
    parser.add_argument(
        'config',
        metavar='MODEL',
        help='checkpoint with its config inside, name of the model zoo, exported file, '
        'hf://user/name, or CONFIG CHECKPOINT',
    )
    parser.add_argument(
        'checkpoint',
        nargs='?',
        metavar='CHECKPOINT',
        help='weights of a CONFIG: file, name of the zoo, hf://...',
    )
    parser.add_argument(
        '--data',
        metavar='NAME',
        help='test on this dataset of configs/_base_/datasets, such as ade20k, not on the '
        "config's own",
    )
    parser.add_argument(
        '--work-dir',
        type=folder,
        metavar='DIR',
        help='folder for log and metrics',
    )
    parser.add_argument(
        '--out', type=folder, metavar='DIR', help='write the label maps as PNG there'
    )
    parser.add_argument(
        '--show-dir', type=folder, metavar='DIR', help='draw every prediction there'
    )
    parser.add_argument(
        '--format-only', action='store_true', help='write label maps, evaluate nothing; needs --out'
    )
    parser.add_argument(
        '--label-ids', action='store_true', help="write the dataset's label ids (Cityscapes)"
    )
    parser.add_argument(
        '--eval', nargs='+', metavar='METRIC', help='mIoU, mDice, mFscore; the config says which'
    )
    parser.add_argument(
        '--aug-test',
        '--tta',
        action='store_true',
        dest='aug_test',
        help='test-time augmentation: multi-scale, flipped',
    )
    parser.add_argument(
        '--scales',
        nargs='+',
        type=positive_number,
        metavar='S',
        help='of --aug-test, such as 0.5 1 2',
    )
    parser.add_argument(
        '--flip', action=argparse.BooleanOptionalAction, help='flipped views in --aug-test'
    )
    parser.add_argument(
        '--segfix',
        metavar='OFFSETS',
        help='refine, metrics before and after: folder or zip of offsets, or CONFIG:CKPT',
    )
    parser.add_argument(
        '--segfix-scale', type=whole_number(1), metavar='S', help='offsets times S (default 2)'
    )
    parser.add_argument(
        '--show-attention',
        type=folder,
        metavar='DIR',
        help='draw attention and prediction of every scale there',
    )
    parser.add_preparation_options()
    parser.add_argument(
        '--batch-size',
        type=batch_size,
        default='auto',
        metavar='auto|N',
        help='images of one size at a time',
    )
    parser.add_cache_option()
    parser.add_cfg_options()
    parser.add_argument(
        '--report',
        type=folder,
        metavar='DIR',
        help='write a page there: metrics per image and class',
    )
    parser.add_argument(
        '--report-images',
        type=whole_number(0),
        metavar='N',
        help=f'images on that page (default: {MAX_IMAGES}; 0: none)',
    )
    parser.add_argument('--launcher', choices=LAUNCHERS, help='found by itself under torchrun')
    parser.add_argument(
        '--seed', type=seed, metavar='N', help='of whatever the model draws at random'
    )
    parser.add_argument('--json', action='store_true', help='print the metrics as JSON')
    parser.add_argument('--verbose', action='store_true', help='everything on the terminal')
    parser.add_argument('--trust-checkpoint', action='store_true', help='read files that run code')
    parser.add_argument('--local_rank', '--local-rank', type=int, help=argparse.SUPPRESS)
    return parser


if __name__ == '__main__':
    sys.exit(run(main))
