"""``openseg check-dataset``: the data check for a config or a folder."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from openseg_plugin.cli.main import print_json, run
from openseg_plugin.cli.parser import ArgumentParser, folder, whole_number
from openseg_plugin.errors import ConfigError

if TYPE_CHECKING:
    from openseg_plugin.data_checks.dataset_spec import Source
    from openseg_plugin.data_checks.finding import Finding

EXIT_MUST_NOT_START = 1


EXAMPLES = """examples:
  openseg check-dataset ocr/hrnet48_cityscapes_80k.py
  openseg check-dataset data/own --classes road car --report check"""


def main(argv: Sequence[str] | None = None) -> int:
    """Checks; 0: training may start, 1: it must not. (2, by the caller: a usage error.)

    Raises:
        UserError: a config or folder that cannot be looked at.
    """
    args = _parse(argv)
    from openseg_plugin.data_checks.examine import examine
    from openseg_plugin.data_checks.file_facts import Cache, default_folder
    from openseg_plugin.data_checks.report.text_report import as_data, class_table, describe
    from openseg_plugin.data_checks.rules import find_all, may_start

    source = _source(args)
    source.arguments = _chosen(args)
    report = None if args.report is None else Path(args.report)
    if args.dry_run and not args.apply_fix:
        raise ConfigError('--dry-run goes with --apply-fix KEY: leave it out, or name a fix')
    cache = Cache(Path(args.cache) if args.cache else default_folder(), _place(source))
    records = examine(source, cache=cache, workers=args.workers, show_progress=True)
    findings = find_all(source, records)
    if args.apply_fix:
        return _apply(args, source, findings, report)
    page = None
    if report is not None:  # takes a second to import
        from openseg_plugin.data_checks.report.html_report import write_report

        page = write_report(report, source, records, findings)
    if args.json:
        told = as_data(source, records, findings)
        print_json(told | dict(may_start=may_start(findings), report=page and str(page)))
    else:
        print('\n'.join(class_table(source, records)))
        print('\n'.join(describe(source, findings, report=report)))
        if page is not None:
            print(f'report: {page}')
    return 0 if may_start(findings) else EXIT_MUST_NOT_START


def _apply(
    args: argparse.Namespace, source: 'Source', findings: 'list[Finding]', report: Path | None
) -> int:
    """Applies one fix; 0 where that is done."""
    from openseg_plugin.cli.convert_dataset import main as convert
    from openseg_plugin.data_checks.fixes import apply_fix

    lines = apply_fix(
        source,
        findings,
        args.apply_fix,
        report=report or Path('check_report'),
        dry_run=args.dry_run,
        convert=convert,
    )
    print('\n'.join(lines))
    return 0


def build_parser() -> ArgumentParser:
    """All options."""
    parser = ArgumentParser(
        'Validate the labels: read every one of a dataset, count its classes, and name what is '
        'wrong with what fixes it. Labels are never changed: a fix is a setting, a new folder, or '
        'files moved aside by --apply-fix. Exit status: 0 training may start, '
        '1 it must not, 2 the command cannot be run.',
        epilog=EXAMPLES,
    )
    parser.add_argument('source', metavar='CONFIG|FOLDER', help='a config, or a folder of data')
    parser.add_argument(
        '--report', type=folder, metavar='DIR', help='write a page with images, and lists'
    )
    parser.add_argument('--split', nargs='+', metavar='S', help='only these: train, val, test')
    parser.add_argument(
        '--workers', type=whole_number(1), metavar='N', help='threads (default: all cores)'
    )
    parser.add_argument('--cache', metavar='DIR', help="instead of the user's cache folder")
    parser.add_argument(
        '--apply-fix', metavar='KEY', help='apply the fix of the findings with this key'
    )
    parser.add_argument('--dry-run', action='store_true', help='only say what --apply-fix would do')
    parser.add_argument('--json', action='store_true', help='print classes and findings as JSON')
    parser.add_cfg_options()
    group = parser.add_argument_group('folders only')
    group.add_argument('--classes', nargs='+', default=[], metavar='C', help='names, label order')
    group.add_argument(
        '--num-classes', type=int, default=0, metavar='N', help='if without names (default: with)'
    )
    group.add_argument('--reduce-zero-label', action='store_true', help='0 is ignored, k is k - 1')
    group.add_argument(
        '--ignore-exif', action='store_true', help='images are not turned as EXIF data say'
    )
    return parser


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    args = build_parser().parse_args(argv)
    if not 0 <= args.num_classes <= 255:
        raise ConfigError(f'--num-classes {args.num_classes}: give a number from 1 to 255')
    if args.json and args.apply_fix:
        raise ConfigError('--json is about findings, --apply-fix prints none: leave one out')
    if args.classes and args.num_classes not in (0, len(args.classes)):
        raise ConfigError(
            f'--classes names {len(args.classes)} classes, --num-classes says {args.num_classes}: '
            'give one of them'
        )
    return args


def _source(args: argparse.Namespace) -> 'Source':
    path = Path(args.source)
    if not path.is_dir():
        _refuse_folder_options(args)
        from openseg_plugin.data_checks.config_adapter import read_config

        return read_config(args.source, options=args.cfg_options, splits=args.split)
    from openseg_plugin.data_checks.folder_adapter import read_folder

    if args.cfg_options:
        raise ConfigError(f'--cfg-options is for configs, {path} is a folder: leave it out')
    return read_folder(
        path,
        classes=args.classes,
        num_classes=args.num_classes,
        splits=args.split,
        reduce_zero_label=args.reduce_zero_label,
        ignore_exif=args.ignore_exif,
    )


def _chosen(args: argparse.Namespace) -> tuple[str, ...]:
    """The options that change what is found, for the commands that are printed."""
    words: list[str] = []
    if args.split:
        words += ['--split', *args.split]
    if args.classes:
        words += ['--classes', *args.classes]
    elif args.num_classes:
        words += ['--num-classes', str(args.num_classes)]
    words += ['--reduce-zero-label'] if args.reduce_zero_label else []
    words += ['--ignore-exif'] if args.ignore_exif else []
    if args.cfg_options:
        words += ['--cfg-options', *(f'{key}={value}' for key, value in args.cfg_options.items())]
    return tuple(words)


def _refuse_folder_options(args: argparse.Namespace) -> None:
    given = [
        name
        for name in ('classes', 'num_classes', 'reduce_zero_label', 'ignore_exif')
        if getattr(args, name)
    ]
    if given:
        raise ConfigError(
            f'--{given[0].replace("_", "-")} is for folders; {args.source} is no folder: a config '
            'says this itself, change it with --cfg-options'
        )


def _place(source: 'Source') -> str:
    """Name of the cache: where the data are, so that configs of one dataset share it."""
    if source.root is not None:
        return str(source.root.absolute())
    return source.name


if __name__ == '__main__':
    sys.exit(run(main))
