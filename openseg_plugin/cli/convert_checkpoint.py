"""Command line of the checkpoint converter: says whose weights a file holds, converts, tries."""

import argparse
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from openseg_plugin.cli.parser import ArgumentParser
from openseg_plugin.converters.checkpoints import (
    Conversion,
    convert,
    is_classifier,
    read_checkpoint,
    write_checkpoint,
)
from openseg_plugin.errors import CheckpointError, ConfigError

SUFFIXES = {'pth': '.pth', 'safetensors': '.safetensors'}
# entries of mmengine's and mmseg's ``meta`` that go with the weights
KEPT_META = ('dataset_meta', 'CLASSES', 'PALETTE', 'cfg')


def main(argv: Sequence[str] | None = None) -> None:
    """Does what the command line says.

    Raises:
        ConfigError: arguments that do not fit.
        CheckpointError: the file cannot be read, is not known, or cannot be written.
        DataError: an image to try the weights on cannot be read.
    """
    args = _parser().parse_args(argv)
    target = _target(args.src, args.dst, args.to)
    if args.drop_classifier and target is None:
        raise ConfigError('--drop-classifier is about the converted file: give DST or --to')
    if args.verify_dir and not args.verify:
        raise ConfigError('--verify-dir is where --verify IMAGE ... draws: give images too')
    checkpoint = read_checkpoint(args.src, trust=args.trust_checkpoint)
    conversion = _convert(checkpoint, args.src)
    print('\n'.join([f'{args.src}: {conversion.source}', *describe(conversion)]))
    weights = {name: torch.as_tensor(x) for name, x in conversion.state_dict.items()}
    if target is not None:
        _write(args, target, checkpoint, conversion, weights)
    if args.verify:
        folder = args.verify_dir or (target or args.src).parent
        _verify(args, checkpoint, conversion, weights, folder, (target or args.src).stem)


def _write(
    args: argparse.Namespace,
    target: Path,
    checkpoint: Mapping[str, Any],
    conversion: Conversion,
    weights: dict[str, torch.Tensor],
) -> None:
    if args.drop_classifier:
        dropped = [name for name in weights if is_classifier(name)]
        weights = {name: x for name, x in weights.items() if name not in dropped}
        print(f'  dropped        {", ".join(dropped) or "nothing: it has no classifier"}')
    write_checkpoint({'state_dict': weights, 'meta': _meta(checkpoint, conversion)}, target)
    print(f'{target}: {len(weights)} entries written')
    if not conversion.is_backbone and conversion.config and not args.drop_classifier:
        print(f'next: python tools/test.py {conversion.command_with(str(target))}')


def _verify(
    args: argparse.Namespace,
    checkpoint: Mapping[str, Any],
    conversion: Conversion,
    weights: dict[str, torch.Tensor],
    folder: Path,
    stem: str,
) -> None:
    """Runs the model that fits once per image and says where the overlays are.

    Raises:
        CheckpointError: nobody knows which model fits, or it does not.
    """
    config, options, data = conversion.config, conversion.cfg_options, conversion.data
    meta = checkpoint.get('meta')
    if not config and isinstance(meta, Mapping) and meta.get('config'):  # converted earlier
        config, options = str(meta['config']), meta.get('cfg_options') or {}
        data = meta.get('data') or None
    if not config or conversion.is_backbone:
        what = 'a backbone alone' if conversion.is_backbone else 'weights of your own training'
        raise CheckpointError(
            f'{args.src} holds {what}, so --verify has no config for it: try weights of your own '
            'with tools/test.py CONFIG FILE --show-dir DIR'
        )
    # the rest of this tool needs no mmseg, which takes seconds to import
    from openseg_plugin.cli.verify_checkpoint import Verification

    verification = Verification(config, options, weights, data=data)
    for file, words in verification.draw(args.verify, folder, stem):
        print(f'{file}: {words}')


def _convert(checkpoint: Mapping[str, Any], src: Path) -> Conversion:
    """As ``convert``, with the file's name in the error."""
    try:
        return convert(checkpoint)
    except CheckpointError as error:
        raise CheckpointError(f'{src}: {error}') from error


def describe(conversion: Conversion) -> list[str]:
    """Lines that say what was found and what fits."""
    scales = ' (scales converted for BatchNorm)' if conversion.norm_layout == 'inplace_abn' else ''
    facts = {
        'source': f'{conversion.source.name}, network {conversion.source.network}',
        'method': conversion.method or 'backbone alone' * conversion.is_backbone,
        'backbone': conversion.backbone,
        'directions' if conversion.method == 'segfix' else 'classes': str(
            conversion.num_classes or ''
        ),
        'norm layout': conversion.norm_layout + scales,
        'config': conversion.command if conversion.config else 'the one it was trained with',
        'preprocessing': _preprocessing(conversion),
        'assumed': conversion.assumed and f'{conversion.assumed}; no weight tells',
    }
    reasons = Counter(conversion.dropped.values())
    facts['left out'] = '; '.join(f'{n} entries: {reason}' for reason, n in reasons.items())
    return [f'  {name:14} {fact}' for name, fact in facts.items() if fact]


def _preprocessing(conversion: Conversion) -> str:
    if conversion.preprocessing is None:
        return 'that of the config'
    done = '; the config does it' if conversion.config and not conversion.is_backbone else ''
    return f'{conversion.preprocessing}, of 0..255{done}'


def _target(src: Path, dst: Path | None, kind: str | None) -> Path | None:
    """Where to write; None: nowhere.

    Raises:
        ConfigError: a format that contradicts the name, or the source itself.
    """
    if dst is None and kind is None:
        return None
    target = dst or src.with_suffix(SUFFIXES[kind])
    if kind is not None and target.suffix != SUFFIXES[kind]:
        raise ConfigError(f'{target} does not end in {SUFFIXES[kind]}, which --to {kind} asks for')
    if target.resolve() == src.resolve():
        raise ConfigError(f'{src} would be overwritten: give the result another name')
    return target


def _meta(checkpoint: Mapping[str, Any], conversion: Conversion) -> dict[str, Any]:
    """Where the weights came from, as plain data."""
    given = checkpoint.get('meta')
    given = given if isinstance(given, Mapping) else {}
    return {
        **{key: given[key] for key in KEPT_META if key in given},
        'source': str(conversion.source),
        'config': conversion.config,
        'data': conversion.data or '',
        'cfg_options': {key: _listed(value) for key, value in conversion.cfg_options.items()},
        'preprocessing': str(conversion.preprocessing or ''),
    }


def _listed(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _parser() -> ArgumentParser:
    parser = ArgumentParser(
        'Says whose weights SRC holds and which config fits them; converts them to DST.'
    )
    parser.add_argument('src', type=Path, metavar='SRC', help='weight file of a known project')
    parser.add_argument(
        'dst', type=Path, metavar='DST', nargs='?', help='converted file; left out: only look'
    )
    parser.add_argument(
        '--to', choices=list(SUFFIXES), help='format; without DST the result lies beside SRC'
    )
    parser.add_argument(
        '--drop-classifier',
        action='store_true',
        help='leave the classifier out, to train on other classes',
    )
    parser.add_argument(
        '--verify',
        type=Path,
        nargs='+',
        metavar='IMAGE',
        help='run the model that fits once per image, and draw what it sees beside the result',
    )
    parser.add_argument(
        '--verify-dir', type=Path, metavar='DIR', help='draw it there instead (with --verify)'
    )
    parser.add_argument(
        '--trust-checkpoint',
        action='store_true',
        help='read a file that may run code; only for files whose origin you trust',
    )
    return parser
