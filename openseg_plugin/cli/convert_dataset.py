"""``openseg convert-dataset``: the converters; with ``--check`` the data checks too.

The arguments of a converter are made from the fields of its options.
"""

import argparse
import contextlib
import signal
import sys
import threading
import types
from collections.abc import Iterator, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import (
    TYPE_CHECKING,
    Any,
    Literal,
    NoReturn,
    Union,
    get_args,
    get_origin,
    get_type_hints,
)

from openseg_plugin.cli.main import print_json, run
from openseg_plugin.cli.parser import ArgumentParser, whole_number
from openseg_plugin.errors import DataError

if TYPE_CHECKING:
    from openseg_plugin.converters.datasets.core.plan import Converter
    from openseg_plugin.converters.datasets.core.run import Report, Settings

_MANY = 20
_EXAMPLES = """\
"openseg convert-dataset NAME --help" lists the options of a converter. Examples:
  openseg convert-dataset labelme MY_IMAGES data/own --val-fraction 0.1
  openseg convert-dataset cityscapes RAW data/cityscapes --check"""


def main(argv: Sequence[str] | None = None) -> int:
    """Converts or checks; 1 where samples failed or the data checks say not to train.

    Raises:
        ConfigError: an option that does not fit.
        DataError: a source or target that cannot be used.
    """
    args = build_parser().parse_args(argv)
    status = _convert(args)
    if args.check and not args.dry_run:
        with contextlib.redirect_stdout(sys.stderr if args.json else sys.stdout):
            status = max(status, _check_labels(args.dst))
    return status


def _convert(args: argparse.Namespace) -> int:
    """0, or 1 where samples failed under ``--keep-going``."""
    from openseg_plugin.converters.datasets.core.plan import get_converter
    from openseg_plugin.converters.datasets.core.run import Settings, convert

    chosen = get_converter(args.name)
    options = {f.name: getattr(args, f.name) for f in fields(chosen.options_type)}
    settings = Settings(
        link_mode=args.link_mode,
        splits=tuple(args.split or ()),
        workers=args.workers,
        palette=not args.gray,
        keep_going=args.keep_going,
        overwrite=args.overwrite,
        dry_run=args.dry_run,
        check=args.check,
    )
    try:
        with _sigterm_as_exit():
            report = convert(args.name, args.src, args.dst, options, settings=settings)
    except (KeyboardInterrupt, SystemExit):
        print('finished files are kept; the same command goes on from here', file=sys.stderr)
        raise
    if args.json:
        told = asdict(report)
        print_json({name: told[name] for name in told if name != 'summary'} | _classes(report))
    else:
        print('\n'.join(describe(report, settings)))
    return 1 if report.failures else 0


def _classes(report: 'Report') -> dict[str, Any]:
    return dict(dst=str(report.dst), classes=report.summary.get('classes'))


def _check_labels(folder: Path) -> int:
    """Prints what the data checks find in the converted folder; 1 where not to train."""
    from openseg_plugin.data_checks.examine import examine
    from openseg_plugin.data_checks.folder_adapter import read_folder
    from openseg_plugin.data_checks.report.text_report import describe as describe_findings
    from openseg_plugin.data_checks.rules import find_all, may_start

    try:
        source = read_folder(folder)
    except DataError as error:
        print(f'note: the data checks do not read this layout ({error})')
        return 0
    findings = find_all(source, examine(source))
    print('data checks:')
    print('\n'.join(describe_findings(source, findings)))
    return 0 if may_start(findings) else 1


@contextlib.contextmanager
def _sigterm_as_exit() -> Iterator[None]:
    """SIGTERM (a batch system, "kill") ends the run as tidily as Ctrl-C does."""

    def leave(number: int, frame: types.FrameType | None) -> NoReturn:
        raise SystemExit(128 + number)

    if threading.current_thread() is not threading.main_thread():
        yield  # only there can signals be caught
        return
    before = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def build_parser() -> ArgumentParser:
    """One sub-command per converter."""
    from openseg_plugin.converters.datasets.core.plan import converters

    parser = ArgumentParser(
        'Convert a dataset as downloaded, or images with polygons or masks of '
        'your own, to DST/<split>/{image,label}.',
        epilog=_EXAMPLES,
    )
    names = parser.add_subparsers(dest='name', metavar='NAME', required=True)
    for name, known in converters().items():
        example = f'example:\n  openseg convert-dataset {name} RAW data/{name}'
        sub = names.add_parser(
            name,
            help=known.help,
            description=known.help,
            epilog=example,
            conflict_handler='resolve',  # --version of mapillary is that of its labels
        )
        sub.add_argument(
            'src', type=Path, metavar='SRC', help='folder, zip or tar, or folder of zips'
        )
        sub.add_argument('dst', type=Path, metavar='DST', help='target folder')
        _add_common(sub, known)
        group = sub.add_argument_group(f'options of {name}')
        hints = get_type_hints(known.options_type)
        for item in fields(known.options_type):
            _add_option(group, item.name, hints[item.name], item.default, item.metadata['help'])
    return parser


def describe(report: 'Report', settings: 'Settings') -> list[str]:
    """Lines that say what was done."""
    samples = ', '.join(f'{number} {split}' for split, number in report.samples.items())
    verb = 'would become' if settings.dry_run else 'in'
    lines = [f'note: {notice}' for notice in report.notices]
    for name, message in list(report.failures.items())[:_MANY]:
        lines.append(f'failed: {name}: {message}')
    if len(report.failures) > _MANY:
        lines.append(f'... and {len(report.failures) - _MANY} more, see {report.dst}/dataset.json')
    lines.append(f'{report.name}: {samples} samples {verb} {report.dst}')
    if settings.dry_run:
        return lines
    if settings.check:
        lines.append(f'checked: {report.kept} agree, {len(report.failures)} do not')
    else:
        lines.append(f'{report.made} made, {report.kept} were there, {len(report.failures)} failed')
    return lines


def _add_common(parser: argparse.ArgumentParser, known: 'Converter') -> None:
    splits = f' ({", ".join(known.splits)})' if known.splits else ''
    parser.add_argument(
        '--link-mode',
        choices=('link', 'copy', 'symlink'),
        default='link',
        help='how images get into DST; link: hard link, or a copy on another disk (default)',
    )
    parser.add_argument('--split', nargs='+', metavar='S', help=f'only these splits{splits}')
    parser.add_argument(
        '--workers', type=whole_number(1), metavar='N', help='processes (default: all cores)'
    )
    parser.add_argument('--gray', action='store_true', help='labels as gray PNGs, without palette')
    parser.add_argument(
        '--keep-going', action='store_true', help='convert the others when a sample fails'
    )
    parser.add_argument(
        '--overwrite',
        action='store_true',
        help='make every file anew, and move files of earlier conversions that are no longer made '
        'to DST/.replaced',
    )
    parser.add_argument('--dry-run', action='store_true', help='say what would be done')
    parser.add_argument('--json', action='store_true', help='print what was done as JSON')
    parser.add_argument(
        '--check', action='store_true', help='compare DST with SRC, write nothing there'
    )


def _add_option(
    group: argparse._ArgumentGroup, name: str, hint: Any, default: Any, text: str
) -> None:
    flag = '--' + name.replace('_', '-')
    more: dict[str, Any] = {'dest': name, 'default': default, 'help': text}
    if get_origin(hint) in (Union, types.UnionType):
        hint = next(kind for kind in get_args(hint) if kind is not type(None))
    elif default not in (None, '', ()) and hint is not bool:
        more['help'] += f' (default {default})'
    if hint is bool:
        action = argparse.BooleanOptionalAction if default else 'store_true'
        group.add_argument(flag, action=action, **more)
    elif get_origin(hint) is Literal:
        choices = get_args(hint)
        group.add_argument(flag, choices=choices, type=type(choices[0]), **more)
    elif get_origin(hint) is tuple:
        kind = get_args(hint)[0]
        group.add_argument(flag, nargs='+', type=kind, metavar=name[0].upper(), **more)
    else:
        group.add_argument(flag, type=hint, metavar=name.rsplit('_')[-1].upper(), **more)


if __name__ == '__main__':
    sys.exit(run(main))
