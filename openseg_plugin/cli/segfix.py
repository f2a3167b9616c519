"""``tools/segfix.py``: the steps of :mod:`openseg_plugin.cli.segfix_offline`, predict and show."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from openseg_plugin.cli.segfix_offline import build_parser
from openseg_plugin.errors import DataError
from openseg_plugin.utils.batch import refuse_input

SIZE_MODES = {'fix_size': True, 'diverse_size': False}


def main(argv: Sequence[str] | None = None) -> None:
    """Does what the command line says.

    Raises:
        ConfigError: arguments that do not fit.
        DataError: files or folders that cannot be used.
        CheckpointError: weights that cannot be used.
    """
    args = build_parser(_add_predict, _add_show).parse_args(argv)
    args.do(args)


def _add_predict(steps: argparse._SubParsersAction) -> None:
    step = steps.add_parser(
        'predict',
        help='offsets of pictures, with a trained network',
        description='Predicts the offsets of every picture of a folder; runs again where it was '
        'stopped.',
    )
    step.add_argument('config', metavar='CONFIG', help='config of configs/segfix')
    step.add_argument('checkpoint', metavar='CKPT', help="weights, also openseg's published ones")
    step.add_argument('images', type=Path, metavar='IMAGES', help='folder of pictures')
    step.add_argument('out', type=Path, metavar='OUT', help='folder for the offsets')
    step.add_argument(
        '--format', choices=('png', 'mat'), default='png', help='compact PNG or the published .mat'
    )
    step.add_argument(
        '--mode', choices=('whole', 'slide'), help='whole pictures, or overlapping crops'
    )
    step.add_argument(
        '--crop-size', type=int, nargs=2, metavar=('H', 'W'), help='of --mode slide (512 512)'
    )
    step.add_argument(
        '--size-mode',
        choices=SIZE_MODES,
        help='what is compared with 0.5: the probability (fix_size) or, as the original does on '
        'ADE20K, the raw logit (diverse_size); default: what the config says',
    )
    step.add_argument('--batch-size', type=int, default=1, metavar='N', help='pictures at a time')
    step.add_argument(
        '--trust-checkpoint',
        action='store_true',
        help='read checkpoints that may run code; only for files whose origin you trust',
    )
    step.add_argument('--debug', action='store_true', help='show where an error arose')
    step.set_defaults(do=_predict)


def _add_show(steps: argparse._SubParsersAction) -> None:
    step = steps.add_parser(
        'show',
        help='a picture of one label map: before, offsets, after',
        description='Draws a label map, its offsets as colours, and the mended label map.',
    )
    step.add_argument('label', type=Path, metavar='LABEL', help='label map')
    step.add_argument('offsets', type=Path, metavar='OFFSETS', help='its offsets or targets')
    step.add_argument('out', type=Path, metavar='OUT', help='picture to write, .png or .jpg')
    step.add_argument('--image', type=Path, metavar='FILE', help='shown through the labels')
    step.add_argument('--scale', type=int, default=2, metavar='S', help='offsets times S (2)')
    step.add_argument('--debug', action='store_true', help='show where an error arose')
    step.set_defaults(do=_show)


def _show(args: argparse.Namespace) -> None:
    import cv2

    from openseg_plugin.segfix.drawing import draw_segfix

    refuse_input(args.out, args.label, args.offsets, args.image)
    sheet = draw_segfix(args.label, args.offsets, image=args.image, scale=args.scale)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    try:
        written = cv2.imwrite(str(args.out), cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR))
    except cv2.error:  # a suffix that OpenCV does not write
        written = False
    if not written:
        raise DataError(f'{args.out} cannot be written: give the name of a .png or .jpg file')


def _predict(args: argparse.Namespace) -> None:
    # the other steps need no mmengine, and so do not wait for it
    from openseg_plugin import compat
    from openseg_plugin.segfix.network import OffsetNetwork, predict_folder

    if args.trust_checkpoint:
        compat.trust_checkpoints(True)
    options: dict[str, object] = {}
    if args.mode:
        options['model.test_cfg.mode'] = args.mode
    if args.crop_size:
        options['model.test_cfg.crop_size'] = tuple(args.crop_size)
    if args.size_mode:
        options['model.test_cfg.softmax'] = SIZE_MODES[args.size_mode]
    network = OffsetNetwork(args.config, args.checkpoint, options=options)
    predict_folder(
        network,
        args.images,
        args.out,
        suffix=f'.{args.format}',
        batch_size=max(args.batch_size, 1),
        record=dict(
            config=args.config,
            checkpoint=str(Path(args.checkpoint).resolve()),
            options={name: str(value) for name, value in options.items()},
        ),
    )
