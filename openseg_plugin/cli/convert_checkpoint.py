"""Brings weight files to the names and formats used here: says whose they are, converts, tries."""

import argparse
import contextlib
import shlex
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from openseg_plugin.cli.main import print_json, run
from openseg_plugin.cli.parser import ArgumentParser
from openseg_plugin.errors import CheckpointError, ConfigError

if TYPE_CHECKING:
    import torch

    from openseg_plugin.converters.checkpoints import Conversion

SUFFIXES = {'pth': '.pth', 'safetensors': '.safetensors'}
HUB = 'hub'
# entries of mmengine's and mmseg's ``meta`` that go with the weights
KEPT_META = ('dataset_meta', 'CLASSES', 'PALETTE')
EXAMPLES = """examples:
  openseg weights convert hrnet_w48_ocr.pth                      whose it is, and what fits it
  openseg weights convert hrnet_w48_ocr.pth ours.safetensors --verify street.jpg
  openseg weights convert work_dirs/ocr/best.pth out/ocr.pth --for-release
  openseg weights convert work_dirs/ocr/best.pth my_model --format hub
"""


def main(argv: Sequence[str] | None = None, *, prog: str | None = None) -> None:
    """Does what the command line says.

    Args:
        argv: arguments; None for those of the command line.
        prog: the command, as its help names it; None: the program's name.

    Raises:
        ConfigError: arguments that do not fit.
        CheckpointError: the file cannot be read, is not known, or cannot be written.
        DataError: an image to try the weights on cannot be read.
    """
    args = build_parser(prog).parse_args(argv)
    if args.json:
        with contextlib.redirect_stdout(sys.stderr):
            facts = _run(args)
        print_json(facts)
    else:
        _run(args)


def _run(args: argparse.Namespace) -> dict[str, Any]:
    """Converts and says so; what ``--json`` prints."""
    if not Path(args.src).exists():  # what knows the model zoo and the hub imports mmseg
        from openseg_plugin.inference.models import weights_file

        args.src = weights_file(args.src)
    args.src = Path(args.src)
    target = _target(args.src, args.dst, args.format)
    _require_use(args, target)

    import torch

    from openseg_plugin.converters.checkpoints import read_checkpoint
    from openseg_plugin.converters.checkpoints.release import release_weights

    checkpoint = read_checkpoint(args.src, trust=args.trust_checkpoint)
    chosen = release_weights(checkpoint) if _is_release(args) else checkpoint
    conversion = _convert(chosen, args.src)
    print('\n'.join([f'{args.src}: {conversion.source}', *describe(conversion)]))
    weights = {name: torch.as_tensor(x) for name, x in conversion.state_dict.items()}
    if target is not None:
        target = _write(args, target, checkpoint, conversion, weights)
    if args.verify:
        folder = args.verify_dir or (target or args.src).parent
        _verify(args, checkpoint, conversion, weights, folder, (target or args.src).stem)
    return dict(
        file=None if target is None else str(target),
        source=str(conversion.source),
        method=conversion.method,
        backbone=conversion.backbone,
        num_classes=conversion.num_classes,
        config=conversion.config,
        cfg_options=conversion.cfg_options,
        assumed=list(conversion.assumed),
        entries=len(weights),
    )


def _require_use(args: argparse.Namespace, target: Path | None) -> None:
    """Check that no option is given that would do nothing.

    Raises:
        ConfigError: one is.
    """
    for option in ('drop_classifier', 'for_release'):
        if getattr(args, option) and target is None:
            name = option.replace('_', '-')
            raise ConfigError(f'--{name} is about the converted file: give DST or --format')
    if args.license and args.format != HUB:
        raise ConfigError('--license stands in the model card: give --format hub too')
    if args.verify_dir and not args.verify:
        raise ConfigError('--verify-dir is where --verify IMAGE ... draws: give images too')


def _is_release(args: argparse.Namespace) -> bool:
    return args.for_release or args.format == HUB


def _write(
    args: argparse.Namespace,
    target: Path,
    checkpoint: Mapping[str, Any],
    conversion: 'Conversion',
    weights: dict[str, 'torch.Tensor'],
) -> Path:
    """Writes the converted file or folder; returns its path."""
    from openseg_plugin.converters.checkpoints import is_classifier, write_checkpoint
    from openseg_plugin.converters.checkpoints.release import with_hash_in_name, write_hub_folder

    if args.drop_classifier:
        dropped = [name for name in weights if is_classifier(name)]
        weights = {name: x for name, x in weights.items() if name not in dropped}
        print(f'  dropped        {", ".join(dropped) or "nothing: it has no classifier"}')
    result = {'state_dict': weights, 'meta': _meta(checkpoint, conversion)}
    if args.format == HUB:
        write_hub_folder(target, result, checkpoint, license=args.license)
    else:
        write_checkpoint(result, target)
        if args.for_release:
            target = with_hash_in_name(target)
    print(f'{target}: {len(weights)} entries written')
    if not conversion.is_backbone and conversion.config and not args.drop_classifier:
        print(f'next: openseg test {conversion.command_with(shlex.quote(str(target)))}')
    return target


def _verify(
    args: argparse.Namespace,
    checkpoint: Mapping[str, Any],
    conversion: 'Conversion',
    weights: dict[str, 'torch.Tensor'],
    folder: Path,
    stem: str,
) -> None:
    """Runs the model that fits once per image and says where the overlays are.

    Raises:
        CheckpointError: nobody knows which model fits, or it does not.
    """
    # the rest of this tool needs no mmseg, which takes seconds to import
    from openseg_plugin.cli.verify_checkpoint import Verification, config_for

    cfg = config_for(checkpoint, conversion)
    if cfg is None:
        what = 'a backbone alone' if conversion.is_backbone else 'weights of your own training'
        raise CheckpointError(
            f'{args.src} holds {what}, so --verify has no config for it: try weights of your own '
            'with openseg test CONFIG FILE --show-dir DIR'
        )
    verification = Verification(cfg, weights, what=str(args.src))
    for file, words in verification.draw(args.verify, folder, stem):
        print(f'{file}: {words}')


def _convert(checkpoint: Mapping[str, Any], src: Path) -> 'Conversion':
    """As ``convert``, with the file's name in the error."""
    from openseg_plugin.converters.checkpoints import convert

    try:
        return convert(checkpoint)
    except CheckpointError as error:
        raise CheckpointError(f'{src}: {error}') from error


def describe(conversion: 'Conversion') -> list[str]:
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


def _preprocessing(conversion: 'Conversion') -> str:
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
    suffix = SUFFIXES.get(kind or '', '')
    target = dst or (src.with_suffix(suffix) if suffix else src.with_name(f'{src.stem}_hub'))
    if suffix and target.suffix != suffix:
        raise ConfigError(f'{target} does not end in {suffix}, which --format {kind} asks for')
    if target.resolve() == src.resolve():
        raise ConfigError(f'{src} would be overwritten: give the result another name')
    return target


def _meta(checkpoint: Mapping[str, Any], conversion: 'Conversion') -> dict[str, Any]:
    """Where the weights came from and the config that fits them, as plain data."""
    from openseg_plugin.config.loading import load_config
    from openseg_plugin.converters.checkpoints.stored_config import STORED_CONFIG, as_data

    given = checkpoint.get('meta')
    given = given if isinstance(given, Mapping) else {}
    meta = {
        **{key: given[key] for key in KEPT_META if key in given},
        'source': str(conversion.source),
        'cfg_options': {key: _listed(value) for key, value in conversion.cfg_options.items()},
        'preprocessing': str(conversion.preprocessing or ''),
    }
    if isinstance(given.get(STORED_CONFIG), Mapping):
        meta[STORED_CONFIG] = given[STORED_CONFIG]
    elif conversion.config and not conversion.is_backbone:
        cfg = load_config(
            conversion.config, data=conversion.data, options=dict(conversion.cfg_options)
        )
        meta[STORED_CONFIG] = as_data(cfg.to_dict())
    elif isinstance(given.get('cfg'), str):
        meta['cfg'] = given['cfg']  # text of an older file: only ever read as data
    return meta


def _listed(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def build_parser(prog: str | None = None) -> ArgumentParser:
    """All options of the command ``prog``; None: the program's name."""
    parser = ArgumentParser(
        'Says whose weights SRC holds and which config fits them; converts them to DST.',
        epilog=EXAMPLES,
        prog=prog,
    )
    parser.add_argument(
        'src',
        metavar='SRC',
        help='weight file of a known project, name of the model zoo, or hf://user/name',
    )
    parser.add_argument(
        'dst',
        type=Path,
        metavar='DST',
        nargs='?',
        help='converted file; left out: only say what it is',
    )
    parser.add_argument(
        '--format',
        choices=[*SUFFIXES, HUB],
        help='of the result, which lies beside SRC without DST; hub: a folder for Hugging Face '
        'with model.safetensors, config.json and a model card',
    )
    parser.add_argument(
        '--for-release',
        action='store_true',
        help='weights alone, averaged ones (EMA) where there are any, hash in the file name',
    )
    parser.add_argument('--license', help='of the weights, for the model card of --format hub')
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
        help='run the model that fits once per image, and draw its prediction beside the result',
    )
    parser.add_argument(
        '--verify-dir', type=Path, metavar='DIR', help='draw it there instead (with --verify)'
    )
    parser.add_argument(
        '--trust-checkpoint',
        action='store_true',
        help='read a file that may run code; only for files whose origin you trust',
    )
    parser.add_argument('--json', action='store_true', help='print what it is as JSON')
    return parser


if __name__ == '__main__':
    sys.exit(run(main))
