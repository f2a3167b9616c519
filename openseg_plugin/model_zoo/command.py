"""Command line of the model zoo: lists the published files, gets one, writes the tables."""

import sys
from collections.abc import Sequence
from pathlib import Path

from openseg_plugin.engine.cli import ArgumentParser
from openseg_plugin.errors import CheckpointError
from openseg_plugin.model_zoo.download import check, download
from openseg_plugin.model_zoo.entries import Entry, entries, find
from openseg_plugin.model_zoo.tables import write


def main(argv: Sequence[str] | None = None) -> None:
    """Does what the command line says.

    Raises:
        CheckpointError: no such entry, or its file cannot be had.
        ConfigError: arguments that do not fit, or a README without a place for its table.
    """
    parser = ArgumentParser('Published weight files: list, get NAME, or tables.')
    parser.add_argument(
        'action', choices=['list', 'get', 'tables'], help='tables: bring the READMEs up to date'
    )
    parser.add_argument('name', nargs='?', help='entry to get, or part of the names to list')
    parser.add_argument('--to', type=Path, default=Path('weights'), help='folder (weights)')
    parser.add_argument('--address', help='get it from this address instead')
    args = parser.parse_args(argv)
    if args.action == 'list':
        for entry in entries():
            if (args.name or '') in entry.name or args.name == entry.method:
                print(_line(entry))
        return
    if args.action == 'tables':
        print('\n'.join(f'{path} written' for path in write()) or 'all tables are up to date')
        return
    if args.name is None:
        parser.error('get needs a NAME')
    _get(find(args.name), args.to, args.address)


def _line(entry: Entry) -> str:
    scores = f'{entry.miou or "-":>6} {entry.miou_ms or "-":>6}'
    return f'{entry.name:60} {entry.data:16} {scores}  configs/{entry.config}'


def _get(entry: Entry, folder: Path, address: str | None) -> None:
    # several authors call all their files model.pdparams or alike
    target = folder / entry.name / entry.file
    known = entry.sha256 or entry.sha256_start
    address = address or entry.address
    if target.exists():
        check(target, known)
    elif address is None:
        raise CheckpointError(
            f'{entry.file} is only behind a link on {entry.page}: download it by hand, as {target}'
        )
    else:
        download(address, target, sha256=known, progress=_show)
        print(file=sys.stderr)
    print(f'{target}\nnext: python tools/convert_checkpoint.py {target}')


def _show(done: int, total: int | None) -> None:
    whole = f' of {total / 2**20:.1f}' if total else ''
    print(f'\r{done / 2**20:.1f}{whole} MiB', end='', file=sys.stderr, flush=True)
