"""Command line of the model zoo: lists, shows and gets published files, writes the tables."""

import sys
from collections.abc import Sequence
from pathlib import Path

from openseg_plugin.cli.parser import ArgumentParser
from openseg_plugin.errors import CheckpointError
from openseg_plugin.model_zoo.entries import Entry, commands, find, matching
from openseg_plugin.model_zoo.tables import write
from openseg_plugin.utils.download import check, download


def main(argv: Sequence[str] | None = None) -> None:
    """Does what the command line says.

    Raises:
        CheckpointError: no such entry, nothing to list, or a file that cannot be had.
        ConfigError: arguments that do not fit, or a README without a place for its table.
    """
    parser = ArgumentParser('Published weight files: list, show NAME, get NAME, tables or sizes.')
    parser.add_argument(
        'action',
        choices=['list', 'show', 'get', 'tables', 'sizes'],
        help='show: all that is known; tables, sizes: bring the READMEs and the computed sizes up '
        'to date',
    )
    parser.add_argument(
        'name', nargs='?', help='entry to show or get, or part of the names to list'
    )
    parser.add_argument('--to', type=Path, default=Path('weights'), help='folder (weights)')
    parser.add_argument('--address', help='get it from this address instead')
    args = parser.parse_args(argv)
    if args.action == 'list':
        for entry in matching(args.name or ''):
            print(_line(entry))
        return
    if args.action == 'tables':
        print('\n'.join(f'{path} written' for path in write()) or 'all tables are up to date')
        return
    if args.action == 'sizes':
        from openseg_plugin.model_zoo import sizes  # needs mmseg, the others do not

        print(
            '\n'.join(f'{name}: new size' for name in sizes.write()) or 'all sizes are up to date'
        )
        return
    if args.name is None:
        parser.error(f'{args.action} needs a NAME')
    entry = find(args.name)
    if args.action == 'show':
        print(_description(entry))
    else:
        _get(entry, args.to, args.address)


def _line(entry: Entry) -> str:
    scores = f'{entry.miou or "-":>6} {entry.miou_ms or "-":>6}'
    size = '-' if entry.megabytes is None else f'{entry.megabytes:.0f}'
    return f'{entry.name:60} {entry.data:16} {scores} {size:>5} MB  configs/{entry.config}'


def _description(entry: Entry) -> str:
    """What is known about the file, a fact a line, and the commands that it is for."""
    facts = {
        'file': entry.file,
        'network': _network(entry),
        'dataset': _data(entry),
        'mIoU': entry.miou,
        'mIoU of scales': entry.miou_ms,
        'mIoU on crops': entry.miou_crop,
        'pixAcc': entry.pix_acc,
        'pixAcc on crops': entry.pix_acc_crop,
        'note': entry.note,
        'address': entry.address or f'behind a link on {entry.page}',
        'size': _size(entry),
        'sha256': entry.sha256 or (entry.sha256_start and f'{entry.sha256_start}...'),
        **commands(entry, entry.file),
    }
    return '\n'.join(f'{name:15} {fact}' for name, fact in facts.items() if fact)


def _network(entry: Entry) -> str:
    if entry.data == 'ImageNet':
        return f'{entry.backbone} alone, such as {entry.method} starts from'
    return f'{entry.method} on {entry.backbone}, of {entry.source}'


def _data(entry: Entry) -> str:
    if entry.use != 'test':
        return entry.data
    return f'{entry.data}, {entry.classes or "no"} classes'


def _size(entry: Entry) -> str | None:
    if entry.megabytes is None or entry.size is not None:
        return entry.size and f'{entry.megabytes:.1f} MB'
    return f'about {entry.megabytes:.1f} MB: {entry.numbers / 1e6:.2f} million numbers (computed)'


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
        print(f'{entry.file}: {_size(entry) or "size unknown"}', file=sys.stderr)
        download(address, target, sha256=known, progress=_show)
        print(file=sys.stderr)
    lines = [f'{purpose}: {line}' for purpose, line in commands(entry, str(target)).items()]
    print('\n'.join([str(target), *lines]))


def _show(done: int, total: int | None) -> None:
    whole = f' of {total / 2**20:.1f}' if total else ''
    print(f'\r{done / 2**20:.1f}{whole} MiB', end='', file=sys.stderr, flush=True)
