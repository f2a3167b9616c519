"""``openseg train``: trains what a config describes, on a CPU, a GPU or many."""

import argparse
import contextlib
import itertools
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from openseg_plugin.cli.configure import config_name
from openseg_plugin.cli.configure import main as configure
from openseg_plugin.cli.main import print_json, run
from openseg_plugin.cli.parser import (
    ArgumentParser,
    batch_size,
    duration,
    folder,
    positive_number,
    seed,
    whole_number,
)
from openseg_plugin.engine.distributed import LAUNCHERS
from openseg_plugin.engine.runner import COMPILE_MODES
from openseg_plugin.errors import ConfigError

AUTO = 'auto'
SUMMARY = 'dataset.json'  # of a folder that convert-dataset made
_WAIT = 300  # seconds for the config that the first process writes
EXAMPLES = """examples:
  openseg train ocr/hrnet48_cityscapes_80k.py --amp
  openseg train my.py --resume
  openseg train data/own --base hmsa"""


def main(argv: Sequence[str] | None = None) -> int:
    """Trains as the arguments say (those of the command line by default); returns 0.

    Raises:
        UserError: whatever is wrong with arguments, config, data or checkpoint.
    """
    args = parse(argv)
    with contextlib.redirect_stdout(sys.stderr if args.json else sys.stdout):
        _prepare(args)
    from openseg_plugin.engine.runner.training import train

    result = train(args)
    if args.json and result is not None:
        print_json(result)
    return 0


def _prepare(args: argparse.Namespace) -> None:
    """Puts a config in the place of a folder of data.

    Raises:
        UserError: the folder cannot be configured, or ``--base`` is given for a config.
    """
    if os.path.isfile(os.path.join(args.config, SUMMARY)):
        _configure(args)
    elif args.base is not None:
        raise ConfigError('--base is for a folder that openseg convert-dataset made: leave it out')


def _configure(args: argparse.Namespace) -> None:
    """Writes a config for a folder of data into the work folder, or takes the one that is there."""
    dataset, base = Path(args.config), args.base or 'ocr/hrnet18'
    name = config_name(dataset, base)
    folder = Path(args.work_dir or Path('work_dirs', name.removesuffix('.py')))
    args.work_dir, args.config = str(folder), str(folder / name)
    if os.environ.get('RANK', '0') != '0':  # the first process writes it
        end = time.monotonic() + _WAIT
        while not os.path.isfile(args.config) and time.monotonic() < end:
            time.sleep(0.5)
    elif os.path.isfile(args.config):
        print(f'{args.config} is there and is used: delete it to configure anew')
    else:
        configure([str(dataset), '--base', base, '--out', args.config], says_next=False)


def build_parser() -> ArgumentParser:
    """All options."""
    parser = ArgumentParser('Train a segmentor.', epilog=EXAMPLES)
    parser.add_argument(
        'config', metavar='CONFIG|DATASET_DIR', help='config, or converted data to configure first'
    )
    parser.add_argument('--base', metavar='NAME', help='of openseg configure, for a DATASET_DIR')
    parser.add_argument(
        '--work-dir', type=folder, metavar='DIR', help='folder for logs and checkpoints'
    )
    parser.add_argument(
        '--resume',
        nargs='?',
        const=AUTO,
        metavar='auto|PATH',
        help='go on exactly where a checkpoint stopped: this one, or the newest in the work folder '
        '(a fresh start where there is none)',
    )
    parser.add_argument(
        '--override-lr',
        type=positive_number,
        metavar='LR',
        help='with --resume: another learning rate for the rest of the run; a schedule goes on '
        'from where it is, scaled to it',
    )
    parser.add_argument(
        '--amp',
        action='store_true',
        help='mixed precision: bfloat16 on a CPU and on a GPU that has it, float16 on older GPUs',
    )
    parser.add_argument(
        '--compile',
        nargs='?',
        const=COMPILE_MODES[0],
        choices=COMPILE_MODES,
        metavar='MODE',
        help='compile backbone and head, in minutes; reduce-overhead: as CUDA graphs',
    )
    parser.add_cache_option()
    parser.add_argument(
        '--exact-resample',
        action='store_true',
        help='scale whole images, bit for bit as mmseg does, not only what crops cut out',
    )
    parser.add_argument(
        '--batch-size',
        type=batch_size,
        metavar='auto|N',
        help='images per GPU and iteration, auto: as many as fit; the learning rate is scaled',
    )
    parser.add_argument(
        '--accumulate', type=whole_number(1), metavar='N', help='sum the gradients of N iterations'
    )
    parser.add_argument('--ema', action='store_true', help='average the weights (EMA)')
    parser.add_argument(
        '--early-stop',
        type=whole_number(1),
        metavar='N',
        help='end after N validations without a better mIoU (or what save_best names)',
    )
    parser.add_argument(
        '--max-time', type=duration, metavar='2h', help='save and end, status 0, after this time'
    )
    parser.add_argument('--load-from', metavar='FILE', help='start from these weights')
    parser.add_argument(
        '--freeze', nargs='+', metavar='PART', help='of the model, such as backbone: not trained'
    )
    for name in ('tensorboard', 'wandb', 'mlflow'):
        parser.add_argument(f'--{name}', action='store_true', help='log to it too')
    parser.add_cfg_options()
    parser.add_argument('--launcher', choices=LAUNCHERS, help='found by itself under torchrun')
    parser.add_argument(
        '--seed', type=seed, metavar='N', help='of weights, data order, augmentation, dropout'
    )
    parser.add_argument(
        '--deterministic', action='store_true', help='same result every time, at some speed'
    )
    parser.add_argument('--json', action='store_true', help='print checkpoints and metrics as JSON')
    parser.add_argument('--verbose', action='store_true', help='everything on the terminal')
    parser.add_argument(
        '--trust-checkpoint',
        action='store_true',
        help='read checkpoints that may run code; only for files whose origin you trust',
    )
    parser.add_argument(
        '--drop-classifier',
        action='store_true',
        help='load_from weights of other classes: leave the last layer as initialized',
    )
    parser.add_argument('--local_rank', '--local-rank', type=int, help=argparse.SUPPRESS)
    return parser


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """Arguments; ``--resume CONFIG`` is ``--resume`` and a config, as with mmseg."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    for k, (option, value) in enumerate(itertools.pairwise(arguments)):
        if option == '--resume' and value.endswith('.py'):
            arguments[k] = f'--resume={AUTO}'
    return build_parser().parse_args(arguments)


if __name__ == '__main__':
    sys.exit(run(main))
