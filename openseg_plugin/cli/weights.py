"""Weight files: lists, shows, gets, scores, converts, pushes, pulls; writes the tables."""

import argparse
import math
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from openseg_plugin.cli import convert_checkpoint
from openseg_plugin.cli import test as testing
from openseg_plugin.cli.main import print_json, run
from openseg_plugin.cli.parser import ArgumentParser, example, folder
from openseg_plugin.errors import CheckpointError, DataError
from openseg_plugin.model_zoo.entries import (
    GET_FOLDER,
    Entry,
    Protocol,
    commands,
    find,
    matching,
    protocols,
    write_sizes,
)

_EXAMPLES = """examples:
  openseg weights list ocr
  openseg weights get ocrnet_hr48_512x1024_160k_cityscapes
  openseg weights score ocrnet_hr48_512x1024_160k_cityscapes --data-root data
  openseg weights convert theirs.pth ours.safetensors
  openseg weights convert best.pth my_model --format hub; openseg weights push my_model me/my_model
"""
_NAME = 'ocrnet_hr48_512x1024_160k_cityscapes'
_ROOM = 1.5  # times the expected size that a file may have
_ROOM_TRAINING = 4  # times the size of its numbers: files may hold the state of a training too


def main(argv: Sequence[str] | None = None) -> None:
    """Does what the command line says.

    Raises:
        CheckpointError: no such entry, nothing to list or to score, or a file that cannot be had.
        DataError: there is no folder of datasets.
        ConfigError: arguments that do not fit, or a README without a place for its table.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    if arguments[:1] == ['convert']:
        return convert_checkpoint.main(arguments[1:], prog='openseg weights convert')
    args = build_parser().parse_args(arguments)
    if args.action == 'list':
        found = matching(args.name or '')
        if args.json:
            print_json([_facts(entry) for entry in found])
        else:
            print('\n'.join(map(_line, found)))
    elif args.action == 'show':
        entry = find(args.name)
        if args.json:
            print_json(_facts(entry))
        else:
            print(_description(entry))
    elif args.action == 'get':
        entry = find(args.name)
        target = _get(entry, args.to, args.url, args.sha256)
        told = commands(entry, str(target))
        if args.json:
            print_json(dict(file=str(target), commands=told))
        else:
            print(
                '\n'.join([str(target), *(f'{purpose}: {line}' for purpose, line in told.items())])
            )
    elif args.action == 'score':
        _score(find(args.name), args)
    elif args.action == 'push':
        from openseg_plugin.converters.checkpoints.release import push

        print(push(args.folder, args.name, private=args.private))
    elif args.action == 'pull':
        from openseg_plugin.converters.checkpoints.release import pull

        print(pull(args.name, args.to))
    elif args.action == 'tables':
        from openseg_plugin.model_zoo.tables import write

        print('\n'.join(f'{path} written' for path in write()) or 'all tables are up to date')
    else:
        print(
            '\n'.join(f'{name}: new size' for name in write_sizes()) or 'all sizes are up to date'
        )


def build_parser() -> ArgumentParser:
    """All options."""
    parser = ArgumentParser('Published weight files and conversions.', epilog=_EXAMPLES)
    actions = parser.add_subparsers(dest='action', metavar='ACTION', required=True)
    listing = actions.add_parser(
        'list',
        help='one line per file: dataset, mIoU, size, config',
        epilog=example('weights list ocr'),
    )
    listing.add_argument('name', nargs='?', help='a method, or part of the names')
    _add_json(listing, 'all facts of the entries')
    show = actions.add_parser(
        'show',
        help='all that is known about a file, and its commands',
        epilog=example(f'weights show {_NAME}'),
    )
    show.add_argument('name', help='entry, as list names it')
    _add_json(show, 'the facts')
    get = actions.add_parser(
        'get',
        help='download a file (again from where it broke off), check it',
        epilog=example(f'weights get {_NAME}'),
    )
    get.add_argument('name', help='entry, as list names it')
    get.add_argument('--to', type=Path, default=GET_FOLDER, help='folder')
    get.add_argument('--url', help='get it from this address instead')
    get.add_argument('--sha256', help='what the file must have, or its first digits')
    _add_json(get, 'path and commands')
    score = actions.add_parser(
        'score',
        help='test a file as its authors did: published and measured metrics side by side',
        epilog=example(f'weights score {_NAME} --data-root data'),
    )
    score.add_argument('name', help='entry, as list names it')
    score.add_argument(
        '--data-root',
        type=folder,
        metavar='DIR',
        help='folder of the datasets (default: $DATA_ROOT, or data)',
    )
    score.add_argument(
        '--checkpoint',
        type=Path,
        metavar='FILE',
        help='the file, where get has not put it; without it a missing one is downloaded',
    )
    score.add_argument('--to', type=Path, default=GET_FOLDER, help='folder of get')
    score.add_argument(
        '--protocol',
        nargs='+',
        metavar='WORD',
        help='which of its protocols, by a word of their names: one, several, crops; else all',
    )
    score.add_argument(
        '--work-dir', type=folder, metavar='DIR', help='folder for the logs and metrics per class'
    )
    _add_json(score, 'the metrics')
    score.add_cfg_options()
    actions.add_parser(
        'convert',
        help='bring a file to the names and formats used here',
        parents=[convert_checkpoint.build_parser()],
        epilog=convert_checkpoint.EXAMPLES,
        add_help=False,
        conflict_handler='resolve',  # both have --debug and --version
    )
    push = actions.add_parser(
        'push',
        help='upload a folder of convert --format hub to the hub',
        epilog=example('weights push my_model me/my_model'),
    )
    push.add_argument('folder', type=Path, help='that convert --format hub wrote')
    push.add_argument('name', help='user/name; made where it is not there')
    push.add_argument('--private', action='store_true', help='only you see it')
    pull = actions.add_parser(
        'pull',
        help='download a model of the hub: weights, config and card',
        epilog=example('weights pull hf://me/my_model'),
    )
    pull.add_argument('name', help='hf://user/name, with @REVISION where it is not the newest')
    pull.add_argument('--to', type=Path, help='folder (default: the cache of huggingface_hub)')
    actions.add_parser(
        'tables',
        help='bring the tables in the READMEs up to date',
        epilog=example('weights tables'),
    )
    actions.add_parser(
        'sizes', help='bring the computed sizes up to date', epilog=example('weights sizes')
    )
    return parser


def _add_json(parser: argparse.ArgumentParser, what: str) -> None:
    parser.add_argument('--json', action='store_true', help=f'print {what} as JSON')


def _facts(entry: Entry) -> dict[str, Any]:
    facts = {name: value for name, value in asdict(entry).items() if value not in (None, '', {})}
    return facts | dict(commands=commands(entry, entry.file))


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
    if entry.megabytes is None:
        return None
    if entry.size is not None or entry.numbers is None:
        return f'{entry.megabytes:.1f} MB'
    return f'about {entry.megabytes:.1f} MB: {entry.numbers / 1e6:.2f} million numbers (computed)'


def _score(entry: Entry, args: argparse.Namespace) -> None:
    """Tests the file by each of its protocols and prints what was published beside it."""
    found = protocols(entry)
    if not found:
        raise CheckpointError(
            f'{entry.name} cannot be scored: '
            + (
                'its authors state no metric that a test here gives'
                if entry.use == 'test'
                else 'it is no network to be tested'
            )
        )
    if args.protocol:
        wanted = [one for one in found if set(args.protocol) & set(one.name.split())]
        if not wanted:
            names = ', '.join(f'"{one.name}"' for one in found)
            raise CheckpointError(
                f'{entry.name} has no protocol {" or ".join(args.protocol)}: it has {names}'
            )
        found = wanted
    if args.data_root is not None:
        if not os.path.isdir(args.data_root):
            raise DataError(f'--data-root {args.data_root}: there is no such folder')
        os.environ['DATA_ROOT'] = args.data_root  # the configs read it
    checkpoint = args.checkpoint or _get(entry, args.to, None, None)
    from openseg_plugin.engine.runner.testing import measured

    lines, told = [], []
    for protocol in found:
        metrics = measured(_test_arguments(entry, protocol, checkpoint, args))
        if metrics is None:  # another process prints
            continue
        lines += _compared(protocol, metrics)
        known = {name: metrics.get(name) for name in protocol.published}
        told.append(dict(name=protocol.name, published=dict(protocol.published), measured=known))
    if args.json and told:
        print_json(dict(entry=entry.name, dataset=entry.data, protocols=told))
    elif lines:
        header = f'{"protocol":20} {"metric":6} {"published":>9} {"measured":>9} {"difference":>10}'
        print('\n'.join([f'{entry.name}, {entry.data}', header, *lines]))


def _test_arguments(
    entry: Entry, protocol: Protocol, checkpoint: Path, args: argparse.Namespace
) -> argparse.Namespace:
    """What ``openseg test`` makes of the protocol's words."""
    folder_name = protocol.name.replace(' ', '_')
    work_dir = os.path.join(args.work_dir or f'work_dirs/score/{entry.name}', folder_name)
    words = [entry.config, str(checkpoint), '--work-dir', work_dir, *protocol.words]
    # mmengine keeps what it built under a name for the rest of the process
    name = f'{entry.name}_{folder_name}'
    words += ['--cfg-options', f'experiment_name={name}', f'visualizer.name={name}']
    test = testing.build_parser().parse_args(words)
    test.cfg_options |= args.cfg_options or {}
    test.json = args.json  # then standard output has the result alone
    return test


def _compared(protocol: Protocol, metrics: Mapping[str, float]) -> list[str]:
    """A line per published metric."""
    lines = []
    for metric, published in protocol.published.items():
        value = metrics.get(metric, math.nan)
        numbers = f'{published:9.2f} {value:9.2f} {value - published:+10.2f}'
        lines.append(f'{protocol.name:20} {metric:6} {numbers}')
    return lines


def _get(entry: Entry, folder: Path, url: str | None, sha256: str | None) -> Path:
    """Where the file is, which is downloaded if it is not there and checked in any case."""
    from openseg_plugin.utils.download import check, digest, download
    from openseg_plugin.utils.progress import download_progress

    # several authors call all their files model.pdparams or alike
    target = folder / entry.name / entry.file
    noted = target.with_name(f'{target.name}.sha256')
    known = sha256 or entry.sha256 or entry.sha256_start
    if known is None and noted.is_file():
        known = noted.read_text(encoding='ascii', errors='replace').split(' ')[0]
    url = url or entry.address
    if target.exists():
        check(target, known)
    elif url is None:
        raise CheckpointError(
            f'{entry.file} is only behind a link on {entry.page}: download it by hand, as {target}'
        )
    else:
        print(f'{entry.file}: {_size(entry) or "size unknown"}', file=sys.stderr)
        with download_progress(entry.file) as report:
            download(url, target, sha256=known, progress=report, max_bytes=_most_bytes(entry))
    if known is None:
        found = digest(target)
        noted.write_text(f'{found}  {target.name}\n', encoding='ascii')
        print(
            f'its authors publish no hash, so nothing tells whether {target} is what they put '
            f'there; its SHA-256 is {found}, kept in {noted} and compared from now on',
            file=sys.stderr,
        )
    return target


def _most_bytes(entry: Entry) -> int:
    """Size that a download of this file may have."""
    if entry.size is not None:
        return int(_ROOM * entry.size)
    numbers = entry.numbers or 2**29
    return _ROOM_TRAINING * 4 * numbers + 2**26


if __name__ == '__main__':
    sys.exit(run(main))
