"""Command line of ``tools/benchmark.py`` and ``python -m benchmarks``."""

import argparse
import importlib
import json
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

import cv2
import torch

from benchmarks.commands import COMMANDS, NETWORKS, Options, check_options, run_commands
from benchmarks.core import Setting, measure
from openseg_plugin.cli.main import run
from openseg_plugin.cli.parser import ArgumentParser
from openseg_plugin.errors import ConfigError
from openseg_plugin.utils.files import write_text

# parts of a command: module of this package, and what it measures
SUBCOMMANDS = {
    'postproc': 'logits of the head to labels of the image',
    'slide': 'merging overlapping windows',
    'views': 'inputs and merging of test-time augmentation',
    'metric': 'class areas of one image',
    'convert': 'converting labels, and over two processes',
    'loss': 'accuracy metric of the training log',
    'hmsa': 'multi-scale testing beside a re-statement of the published recursion, multiply-adds',
    'memory': 'attention over many pixels, ISA, OCNet and DANet (--op float64, predict or train)',
    'data': 'samples of a training, without and with a cache of decoded images',
    'model': 'whole network, training iteration and prediction',
    'report': 'what a report adds to a test, without and with images',
    'segfix': "fixing label maps, beside the original's steps (--op refine, targets or apply)",
}
# beside torch, not beside stock mmseg; and ours alone
EXPORT, GROWTH = 'export', 'growth'
_HEADER = ('case', 'stock ms', 'ours ms', 'ratio', 'gate', 'differ', 'max error', 'peak MB')


def main(argv: Sequence[str] | None = None) -> int:
    """Measures what the arguments name; returns 1 if any result differs from stock mmseg's.

    Of whole commands the last line is JSON.

    Raises:
        ConfigError: an argument that cannot be.
    """
    args = parse(argv)
    setting = Setting(_size(args.size), args.classes, args.device, args.rounds)
    if args.device != 'cpu' and not torch.cuda.is_available():
        raise ConfigError(f'--device {args.device}: there is no GPU, leave it out')
    if EXPORT in args.names:
        return _run_export(args, setting)
    if GROWTH in args.names:
        return _run_growth(args, setting)
    commands = [name for name in args.names if name in COMMANDS]
    if commands:
        return _run_commands(args, commands, setting)
    torch.set_num_threads(args.threads)
    cv2.setNumThreads(args.threads)
    print(
        f'{setting.size[0]}x{setting.size[1]}, {args.classes} classes, {args.device}, '
        f'{args.threads} threads, torch {torch.__version__}'
    )
    print(_row(_HEADER))
    results = []
    names = list(SUBCOMMANDS) if 'all' in args.names else args.names
    for name in names:
        module = importlib.import_module(f'benchmarks.{name}')
        for case in module.cases(setting):
            if args.op and args.op not in case.name.split():
                continue
            result = measure(case, setting)
            results.append(result)
            print(_row(_cells(result)), flush=True)
    if args.json:
        about = dict(vars(args), size=setting.size, torch=torch.__version__)
        write_text(args.json, json.dumps(dict(setting=about, results=results), indent=1) + '\n')
        print(f'metrics are in {args.json}')
    different = [result['name'] for result in results if not result['is_equal']]
    if different:
        print(f'DIFFERENT RESULTS: {", ".join(different)}')
    return 1 if different else 0


def _run_commands(args: argparse.Namespace, names: Sequence[str], setting: Setting) -> int:
    """Whole commands; prints their ratios as JSON in the last line.

    Raises:
        ConfigError: parts of commands are named, too.
    """
    if len(names) < len(args.names):
        rest = ', '.join(name for name in args.names if name not in names)
        raise ConfigError(f'{rest} runs within this process: name it without {", ".join(names)}')
    options = _options(args)
    check_options(names, setting, options)
    line = json.dumps(run_commands(names, setting, options))
    if args.json:
        write_text(args.json, line + '\n')
    print(line)
    return 0


def _options(args: argparse.Namespace) -> Options:
    return Options(
        network=args.network,
        images=args.images,
        threads=args.threads,
        workers=args.workers,
        ours=[shlex.split(words) for words in args.ours or ['']],
        stock=shlex.split(args.stock),
        folder=args.folder,
        has_bound=args.bound,
    )


def _run_growth(args: argparse.Namespace, setting: Setting) -> int:
    """How time and memory of our tools grow; prints the rows as JSON in the last line.

    Raises:
        ConfigError: something else is named, too.
    """
    if args.names != [GROWTH]:
        raise ConfigError('growth runs alone: leave the rest out')
    if len(args.ours or ()) > 1:
        raise ConfigError('growth runs ours in one way: give --ours once')
    from benchmarks import growth

    line = json.dumps(growth.run(setting, _options(args), only=args.op))
    if args.json:
        write_text(args.json, line + '\n')
    print(line)
    return 0


def _run_export(args: argparse.Namespace, setting: Setting) -> int:
    """Exported files beside torch; prints the results as JSON in the last line.

    Raises:
        ConfigError: something else is named, too, or it is no CPU.
    """
    if args.names != [EXPORT] or args.device != 'cpu':
        raise ConfigError('export runs alone and on a CPU: leave the rest out')
    from benchmarks import export

    unknown = sorted({*args.models} - {*export.NETWORKS})
    if unknown:
        raise ConfigError(f'--models {unknown[0]}: choose from {", ".join(export.NETWORKS)}')
    found = export.run(args.models, setting, threads=args.threads)
    about = dict(size=setting.size, threads=args.threads, torch=torch.__version__)
    line = json.dumps(dict(setting=about, results=found))
    if args.json:
        write_text(args.json, line + '\n')
    print(line)
    return 0


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = ArgumentParser('Compare with stock mmseg: time, memory and results.')
    what = '; '.join(f'{name}: {text}' for name, text in SUBCOMMANDS.items())
    whole = '; '.join(f'{name}: {text}' for name, text in COMMANDS.items())
    parser.add_argument(
        'names',
        nargs='+',
        choices=[*COMMANDS, *SUBCOMMANDS, EXPORT, GROWTH, 'all'],
        help=f'whole commands: {whole}. Parts: {what}. {EXPORT}: exported files beside torch. '
        f'{GROWTH}: ours alone, by size of image, classes, batch, scales, workers, ranks, length '
        'of the dataset',
    )
    parser.add_argument(
        '--models',
        nargs='+',
        default=['hrnet18'],
        metavar='NAME',
        help='of export: hrnet18, hmsa18',
    )
    parser.add_argument('--network', choices=NETWORKS, default='hrnet18', help='of whole commands')
    parser.add_argument(
        '--images', type=_positive, default=4, help='of whole commands; iterations of train'
    )
    parser.add_argument('--workers', type=int, help='of whole commands: loading data, both sides')
    parser.add_argument(
        '--ours',
        action='append',
        metavar='"ARGS"',
        help='more options of our tool; give it several times to compare them in one run',
    )
    parser.add_argument('--stock', default='', metavar='"ARGS"', help="more options of mmseg's")
    parser.add_argument('--folder', type=Path, help='keeps the data of whole commands')
    parser.add_argument(
        '--bound',
        action=argparse.BooleanOptionalAction,
        default=True,
        help='also run a loop in plain PyTorch',
    )
    parser.add_argument('--op', metavar='WORD', help='only the cases with this word in their name')
    parser.add_argument(
        '--size', nargs='+', default=['1024x2048'], metavar='H', help='of the image: H W or HxW'
    )
    parser.add_argument('--classes', type=_positive, default=19)
    parser.add_argument('--rounds', type=_positive, default=5, help='measured runs of each way')
    parser.add_argument('--device', choices=('cpu', 'cuda'), default='cpu')
    parser.add_argument('--threads', type=_positive, default=1)
    parser.add_argument('--json', metavar='FILE', help='write the metrics there')
    return parser.parse_args(argv)


def _positive(word: str) -> int:
    if not word.isdecimal() or int(word) == 0:
        raise argparse.ArgumentTypeError(f'{word} is not a number of 1 or more')
    return int(word)


def _size(words: Sequence[str]) -> tuple[int, int]:
    try:
        height, width = (_positive(part) for part in 'x'.join(words).split('x'))
    except (ValueError, argparse.ArgumentTypeError) as error:
        raise ConfigError(f'--size {" ".join(words)}: H W or HxW is needed, in pixels') from error
    return height, width


def _cells(result: dict) -> tuple[str, ...]:
    peaks = [result[f'{who}_peak_mb'] for who in ('stock', 'ours')]
    return (
        result['name'],
        f'{result["stock_ms"]:.1f}',
        f'{result["ours_ms"]:.1f}',
        f'{result["ratio"]:.2f}',
        f'{result["gate"]}' if result['gate'] else '-',
        f'{result["differing"]}',
        f'{result["max_error"]:.1e}',
        ' -> '.join('?' if peak is None else f'{peak:.0f}' for peak in peaks),
    )


def _row(cells: Sequence[str]) -> str:
    return f'{cells[0]:20}' + ''.join(f'{cell:>12}' for cell in cells[1:])


if __name__ == '__main__':
    sys.exit(run(main))
