"""``openseg report``: the page of a test, of label maps of any tool, or of a comparison."""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

from openseg_plugin.cli.main import print_json, run
from openseg_plugin.cli.parser import ArgumentParser, folder_path, whole_number
from openseg_plugin.errors import ConfigError, DataError
from openseg_plugin.report import MAX_BYTES, MAX_IMAGES, PAGE

if TYPE_CHECKING:
    from openseg_plugin.report.compare import Comparison
    from openseg_plugin.report.results import Results

EXAMPLES = """examples:
  openseg report TEST_DIR
  openseg report TEST_A TEST_B --out comparison
  openseg report page --labels PRED --gt GT --images IMG --classes names.txt"""
_SHOWN_PROBLEMS = 3


def main(argv: Sequence[str] | None = None) -> int:
    """Does what the arguments say (those of the command line by default); returns 0.

    Raises:
        ConfigError: arguments that do not fit together.
        DataError: folders or files that cannot be used.
    """
    args = build_parser().parse_args(argv)
    _check(args)
    from openseg_plugin.report.compare import write_comparison
    from openseg_plugin.report.page import write_compare_page, write_report
    from openseg_plugin.report.results import command_and_versions, read_results, write_results

    size = dict(max_images=args.report_images, max_bytes=round(args.max_mb * 10**6))
    if args.labels is not None:
        results = _from_folders(args)
        write_results(args.tests[0], results)
        problems = write_report(args.tests[0], results, **size)
        _say(args.tests[0], results, problems, args.json)
    elif len(args.tests) == 1:
        results = read_results(args.tests[0])
        write_results(args.tests[0], results)
        problems = write_report(args.tests[0], results, **size)
        _say(args.tests[0], results, problems, args.json)
    else:
        found = _compare(args)
        write_comparison(args.out, found)
        command = command_and_versions()['command']
        problems = write_compare_page(args.out, found, command=command, **size)
        _say_comparison(args.out, found, problems, args.json)
    return 0


def build_parser() -> ArgumentParser:
    """All options."""
    parser = ArgumentParser(
        'Writes a page that opens from disk: metrics, confusions and images of a test.',
        epilog=EXAMPLES,
    )
    parser.add_argument(
        'tests',
        nargs='+',
        type=Path,
        metavar='DIR',
        help='of "openseg test --report DIR": one is shown again, several are compared; with '
        '--labels: the folder for the report',
    )
    folders = parser.add_argument_group('label maps of any tool, in place of a test')
    folders.add_argument('--labels', type=Path, metavar='PRED', help='predicted class ids')
    folders.add_argument('--gt', type=Path, metavar='GT', help='class ids of the ground truth')
    folders.add_argument('--images', type=Path, metavar='IMG', help='the images')
    folders.add_argument(
        '--classes', type=Path, metavar='FILE', help='names, one a line, or JSON with colors'
    )
    folders.add_argument(
        '--ignore-index', type=int, metavar='N', help='label without a class (default: 255)'
    )
    folders.add_argument(
        '--workers', type=whole_number(1), metavar='N', help='threads (default: all cores)'
    )
    several = parser.add_argument_group('comparison of several tests')
    several.add_argument(
        '--out',
        type=folder_path,
        metavar='DIR',
        help='folder for the comparison (default: comparison)',
    )
    several.add_argument('--names', nargs='+', metavar='NAME', help='of the tests, on the page')
    several.add_argument(
        '--intersection', action='store_true', help='compare on the images that all tests have'
    )
    parser.add_argument(
        '--report-images',
        type=int,
        default=MAX_IMAGES,
        metavar='N',
        help=f'images that are drawn (default: {MAX_IMAGES})',
    )
    parser.add_argument('--json', action='store_true', help='print the metrics as JSON')
    parser.add_argument(
        '--max-mb',
        type=float,
        default=MAX_BYTES / 10**6,
        metavar='MB',
        help=f'size of the folder (default: {MAX_BYTES / 10**6:g})',
    )
    return parser


def _check(args: argparse.Namespace) -> None:
    """Refuses options that do not fit together."""
    of_folders = ('labels', 'gt', 'images', 'classes', 'ignore_index', 'workers')
    given = [
        f'--{name.replace("_", "-")}' for name in of_folders if getattr(args, name) is not None
    ]
    if args.report_images < 0 or args.max_mb <= 0:
        raise ConfigError('--report-images and --max-mb: give numbers above 0')
    if given and (args.labels is None or args.gt is None):
        raise ConfigError(f'{given[0]} is about label maps: give --labels PRED and --gt GT')
    if given and len(args.tests) > 1:
        raise ConfigError(f'{given[0]} makes one report: give one folder for it')
    of_comparison = [name for name in ('out', 'names', 'intersection') if getattr(args, name)]
    if of_comparison and len(args.tests) == 1:
        raise ConfigError(f'--{of_comparison[0]} compares tests: give two or more folders')
    args.out = args.out or Path('comparison')
    if args.names is not None and len(args.names) != len(args.tests):
        raise ConfigError(f'{len(args.names)} --names for {len(args.tests)} tests: give one each')
    target = args.out if len(args.tests) > 1 else args.tests[0]
    inputs = [args.labels, args.gt, args.images, *(args.tests if len(args.tests) > 1 else ())]
    for folder in filter(None, inputs):
        if folder.resolve() == target.resolve():
            raise ConfigError(f'{target} is an input: give another folder for the report')


def _from_folders(args: argparse.Namespace) -> 'Results':
    from openseg_plugin.report.from_folders import read_classes, results_from_folders
    from openseg_plugin.report.results import command_and_versions, given_options

    classes = palette = None
    if args.classes is not None:
        classes, palette = read_classes(args.classes)
    results = results_from_folders(
        args.labels,
        args.gt,
        images=args.images,
        classes=classes,
        palette=palette,
        ignore_index=255 if args.ignore_index is None else args.ignore_index,
        workers=args.workers,
    )
    given = given_options(args, ('images', 'classes', 'ignore_index'))
    return replace(results, protocol=results.protocol | given | command_and_versions())


def _compare(args: argparse.Namespace) -> 'Comparison':
    from openseg_plugin.report.compare import compare
    from openseg_plugin.report.results import read_results

    runs = [read_results(folder) for folder in args.tests]
    names = args.names or _names(args.tests)
    if len(set(names)) < len(names):
        raise DataError(f'tests are named {", ".join(names)}: give each a name with --names')
    return compare(list(zip(names, runs)), intersection=args.intersection)


def _names(folders: Sequence[Path]) -> list[str]:
    """The parts of the paths that tell the folders apart."""
    parts = [folder.resolve().parts for folder in folders]
    for depth in range(1, max(map(len, parts)) + 1):
        names = ['/'.join(one[-depth:]) for one in parts]
        if len(set(names)) == len(names):
            break
    return names


def _say(folder: Path, results: 'Results', problems: Sequence[str], as_json: bool) -> None:
    from openseg_plugin.report.from_folders import NO_IMAGE, NO_PREDICTION
    from openseg_plugin.report.metrics import majority_baseline, total_metrics
    from openseg_plugin.report.page import images_text

    totals = results.totals()
    metrics, least = total_metrics(totals), majority_baseline(totals.confusion)
    most_frequent = results.classes[least.class_id]
    if as_json:
        baseline = {'class': most_frequent, 'mIoU': least.mean_iou, 'aAcc': least.accuracy}
        print_json(
            dict(
                images=len(results.images),
                metrics=metrics,
                baseline=baseline,
                page=str(folder / PAGE),
            )
        )
        return
    shown = '  '.join(f'{name} {100 * metrics[name]:.2f}' for name in ('mIoU', 'aAcc', 'mBF@3'))
    print(f'{images_text(len(results.images))}  {shown}')
    print(
        f'baseline: mIoU {100 * least.mean_iou:.2f}  aAcc {100 * least.accuracy:.2f}  '
        f'(every pixel is called "{most_frequent}")'
    )
    for row in (NO_PREDICTION, NO_IMAGE):
        if row in results.protocol:
            print(f'{row}: {results.protocol[row]}')
    _say_page(folder, problems)


def _say_comparison(
    folder: Path, found: 'Comparison', problems: Sequence[str], as_json: bool
) -> None:
    if as_json:
        metrics = {name: asdict(change) for name, change in found.metrics.items()}
        print_json(dict(tests=found.names, metrics=metrics, page=str(folder / PAGE)))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table('metric, %', *found.names, *(f'{name}: change' for name in found.names[1:]))
    for name, change in found.metrics.items():
        changes = [
            f'{100 * difference:+.2f} ({100 * low:+.2f} to {100 * high:+.2f})'
            for difference, (low, high) in zip(change.differences, change.intervals)
        ]
        table.add_row(name, *(f'{100 * value:.2f}' for value in change.values), *changes)
    Console().print(table)
    _say_page(folder, problems)


def _say_page(folder: Path, problems: Sequence[str]) -> None:
    for problem in problems[:_SHOWN_PROBLEMS]:
        print(f'not drawn: {problem}')
    if len(problems) > _SHOWN_PROBLEMS:
        print(f'not drawn: {len(problems) - _SHOWN_PROBLEMS} more')
    print(f'page: {folder / PAGE}')


if __name__ == '__main__':
    sys.exit(run(main))
