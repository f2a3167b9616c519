"""``openseg curves``: losses, metrics and speed of trainings, ours and stock ones."""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from openseg_plugin.cli.main import print_json, run
from openseg_plugin.cli.parser import ArgumentParser, folder_path
from openseg_plugin.errors import ConfigError
from openseg_plugin.report import CURVES, PAGE, SMOOTHING

EXAMPLES = """examples:
  openseg curves work_dirs/ocr/my
  openseg curves RUN_A RUN_B --names sgd adamw --out compared --csv"""


def main(argv: Sequence[str] | None = None) -> int:
    """Draws what the arguments name (those of the command line by default); returns 0.

    Raises:
        ConfigError: arguments that do not fit together.
        DataError: a folder without scalars.
    """
    args = _parse(argv)
    from rich.console import Console
    from rich.table import Table

    from openseg_plugin.report.curves import (
        best_values,
        read_run,
        write_csv,
        write_curves_page,
        write_png,
    )
    from openseg_plugin.report.results import command_and_versions

    names = args.names or [None] * len(args.runs)
    runs = [read_run(path, name=name) for path, name in zip(args.runs, names)]
    args.out.mkdir(parents=True, exist_ok=True)
    write_png(args.out / CURVES, runs, smoothing=args.smooth)
    command = command_and_versions()['command']
    write_curves_page(args.out, runs, smoothing=args.smooth, command=command)
    if args.csv:
        write_csv(args.out / 'curves.csv', runs)
    if args.json:
        print_json([asdict(row) for row in best_values(runs)])
        return 0
    table = Table('scalar', 'run', 'best', 'at', 'last', 'at')
    for row in best_values(runs):
        best, last = f'{row.best:.5g}', f'{row.last:.5g}'
        table.add_row(row.scalar, row.run, best, str(row.best_step), last, str(row.last_step))
    Console().print(table)
    print(f'image: {args.out / CURVES}\npage: {args.out / PAGE}')
    return 0


def build_parser() -> ArgumentParser:
    """All options."""
    parser = ArgumentParser(
        'Draws losses, learning rate, metrics, speed and memory of trainings.',
        epilog=EXAMPLES,
    )
    parser.add_argument(
        'runs', nargs='+', type=Path, metavar='RUN', help='work folder, or a scalars.json'
    )
    parser.add_argument(
        '--out', type=folder_path, default=Path('curves'), metavar='DIR', help='folder to write'
    )
    parser.add_argument('--names', nargs='+', metavar='NAME', help='of the runs')
    parser.add_argument('--json', action='store_true', help='print the best values as JSON')
    parser.add_argument('--csv', action='store_true', help='also write all points as a table')
    parser.add_argument(
        '--smooth',
        type=float,
        default=SMOOTHING,
        metavar='W',
        help=f'weight of what came before in losses, 0 to below 1 (default: {SMOOTHING})',
    )
    return parser


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    args = build_parser().parse_args(argv)
    if not 0 <= args.smooth < 1:
        raise ConfigError(f'--smooth {args.smooth}: give a number from 0 to below 1')
    if args.names is not None and len(args.names) != len(args.runs):
        raise ConfigError(f'{len(args.names)} --names for {len(args.runs)} runs: give one each')
    return args


if __name__ == '__main__':
    sys.exit(run(main))
