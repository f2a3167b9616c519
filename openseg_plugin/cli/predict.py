"""``openseg predict MODEL SOURCE... --out DIR``: labels of images, folders, videos."""

import argparse
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from openseg_plugin.cli.main import print_json, quiet_libraries, run
from openseg_plugin.cli.parser import ArgumentParser, check_backend, to_load
from openseg_plugin.errors import ConfigError

if TYPE_CHECKING:
    from openseg_plugin.inference.segmenter import Segmenter
    from openseg_plugin.inference.sources import Source
    from openseg_plugin.segfix.sources import Offsets
    from openseg_plugin.utils.batch import Output

KINDS = (
    *('labels', 'overlay', 'colored', 'probabilities', 'confidence', 'polygons'),
    *('tiff', 'geotiff'),
)
KINDS_OF_VIDEOS = ('labels', 'overlay')
EPILOG = """examples:
  openseg predict best.pth street.jpg --out results
  openseg predict config.py best.pth photos --recursive --out results --save labels overlay
  openseg predict best.pth drive.mp4 --out results
"""
# options that say how results of one kind look, and nothing of others
_OF_OVERLAYS, _OF_POLYGONS = ('alpha',), ('tolerance', 'polygon_format')
_OF_VIDEOS = ('every', 'side_by_side')


def main(argv: Sequence[str] | None = None) -> int:
    """Predicts; 0, or 1 where some files could not be read (the others are done).

    Raises:
        UserError: whatever is wrong with arguments, model or sources.
    """
    args = _checked(build_parser().parse_args(argv))
    from openseg_plugin.inference import tiling
    from openseg_plugin.inference.polygons import FORMATS
    from openseg_plugin.inference.prediction_run import PredictionRun
    from openseg_plugin.inference.results import Options, refuse_clashes, require_packages
    from openseg_plugin.inference.sources import find_sources

    assert args.polygon_format in FORMATS, 'the parser knows the same formats'
    tile = tiling.parse_tile(args.tile)
    out = Path(args.out)
    rank, world, local_rank = _place(args.launcher)
    sources = find_sources(args.source, recursive=args.recursive, out=out)
    options = Options(
        kinds=tuple(dict.fromkeys(args.save or ('labels',))),
        alpha=args.alpha,
        tolerance=args.tolerance,
        polygon_format=args.polygon_format,
        every=args.every,
        side_by_side=args.side_by_side,
    )
    require_packages(options.kinds)
    refuse_clashes(sources, options, out, labels_of_frames='labels' in (args.save or ()))
    _refuse_kinds_of_videos(sources, options.kinds)
    quiet_libraries()
    segmenter = _load(args, tile, local_rank)
    offsets = _offsets(args)
    of_kinds = _options_of_kinds(sources, options.kinds)
    output = _output(args, out, segmenter, of_kinds, offsets)
    run = PredictionRun(
        segmenter,
        options,
        output,
        overwrite=args.overwrite,
        videos_with=args.save,
        offsets=offsets,
    )
    started = time.monotonic()
    done = run.all(sources[rank::world])
    seconds = time.monotonic() - started
    if args.json:
        print_json(run.as_data(seconds) | dict(process=rank))
    else:
        _say_end(done, len(run.kept), seconds, out, run.failures, rank if world > 1 else None)
    return int(bool(run.failures))


def build_parser() -> ArgumentParser:
    """All options."""
    parser = ArgumentParser(
        'Predict images, folders and videos.',
        epilog=EPILOG,
    )
    parser.add_argument(
        'model',
        metavar='MODEL',
        help='checkpoint with its config inside, published file, name of the model zoo, or '
        'CONFIG CHECKPOINT',
    )
    parser.add_argument(
        'source',
        nargs='+',
        metavar='SOURCE',
        help='images, folders, patterns, web addresses, videos, camera:0, or - for a list on '
        'standard input',
    )
    parser.add_argument('--out', required=True, metavar='DIR', help='folder for the results')
    parser.add_argument('--recursive', action='store_true', help='folders with all below them')
    parser.add_argument(
        '--save', nargs='+', choices=KINDS, help='what to write (default: labels; videos: overlay)'
    )
    parser.add_argument(
        '--overwrite', action='store_true', help='predict again what is there already'
    )
    parser.add_argument(
        '--alpha', type=float, default=0.5, help='opacity of colors in overlays (default: 0.5)'
    )
    parser.add_argument(
        '--polygon-format',
        choices=('labelme', 'coco'),
        default='labelme',
        help='of --save polygons',
    )
    parser.add_argument(
        '--tolerance', type=float, default=1.0, metavar='PX', help='of polygons (default: 1)'
    )
    _add_model_options(parser)
    parser.add_argument('--every', type=int, default=1, metavar='N', help='predict each Nth frame')
    parser.add_argument(
        '--side-by-side', action='store_true', help='videos: the frame beside its overlay'
    )
    parser.add_argument(
        '--json', action='store_true', help='print files and pixels of the classes as JSON'
    )
    return parser


def _add_model_options(parser: ArgumentParser) -> None:
    parser.add_argument(
        '--device', help='such as cuda or cpu (default: the GPU where there is one)'
    )
    parser.add_argument('--aug-test', '--tta', action='store_true', help='multi-scale, flipped')
    parser.add_argument('--scales', nargs='+', type=float, help='of --aug-test, such as 0.5 1 2')
    parser.add_argument(
        '--flip', action=argparse.BooleanOptionalAction, help='flipped views in --aug-test'
    )
    parser.add_argument(
        '--segfix', metavar='OFFSETS', help='refine: folder or zip of offsets, or CONFIG:CKPT'
    )
    parser.add_argument(
        '--segfix-scale', type=int, metavar='S', help='offsets times S (default: 2)'
    )
    parser.add_argument(
        '--tile',
        default='auto',
        metavar='auto|off|HxW',
        help='cut large images into tiles (default: auto, by free memory)',
    )
    parser.add_argument('--overlap', type=int, metavar='PX', help='of tiles (default: an eighth)')
    parser.add_argument(
        '--ignore-exif', action='store_true', help='leave images and videos as they are stored'
    )
    parser.add_preparation_options()
    parser.add_cfg_options()
    parser.add_argument(
        '--trust-checkpoint',
        action='store_true',
        help='read checkpoints that may run code, of an origin that you trust',
    )
    parser.add_argument(
        '--launcher',
        choices=('none', 'pytorch'),
        help='split the files over processes (default: under torchrun)',
    )


def _checked(args: argparse.Namespace) -> argparse.Namespace:
    """The arguments, with a config's checkpoint told from the sources.

    Raises:
        ConfigError: one does not fit.
    """
    args.checkpoint = None
    if args.model.endswith('.py'):
        if len(args.source) < 2:
            raise ConfigError(
                f'{args.model} is a config: give its checkpoint, too: CONFIG CHECKPOINT SOURCE'
            )
        args.checkpoint, *args.source = args.source
    check_backend(args)
    if not 0 <= args.alpha <= 1:
        raise ConfigError(f'--alpha {args.alpha:g}: give a number from 0 to 1')
    if args.tolerance < 0:
        raise ConfigError(f'--tolerance {args.tolerance:g}: give 0 or more pixels')
    if args.every < 1:
        raise ConfigError(f'--every {args.every}: give 1 or more')
    if not args.aug_test and (args.scales is not None or args.flip is not None):
        raise ConfigError('--scales and --flip belong to --aug-test: add it or leave them out')
    if args.segfix is None and args.segfix_scale is not None:
        raise ConfigError('--segfix-scale belongs to --segfix: add it or leave it out')
    if os.path.exists(args.out) and not os.path.isdir(args.out):
        raise ConfigError(f'--out {args.out} is a file: give a folder')
    return args


def _refuse_kinds_of_videos(sources: Sequence['Source'], kinds: Sequence[str]) -> None:
    """Makes sure that nothing is asked of a video or camera that is made of images alone.

    Raises:
        ConfigError: it is.
    """
    others = [kind for kind in kinds if kind not in KINDS_OF_VIDEOS]
    moving = [source for source in sources if source.kind in ('video', 'camera')]
    if others and moving:
        raise ConfigError(
            f'--save {" ".join(others)} is for images, and {moving[0].path} is a {moving[0].kind}: '
            'leave it out, or predict videos on their own'
        )


def _place(launcher: str | None) -> tuple[int, int, int]:
    """Number of this process, number of processes, its number on this machine.

    Raises:
        ConfigError: the variables of torchrun are missing.
    """
    if launcher == 'none' or (launcher is None and 'TORCHELASTIC_RUN_ID' not in os.environ):
        return 0, 1, 0
    try:
        rank, world_size, local = (
            int(os.environ[key]) for key in ('RANK', 'WORLD_SIZE', 'LOCAL_RANK')
        )
        return rank, world_size, local
    except (KeyError, ValueError) as error:
        raise ConfigError(
            '--launcher pytorch: the variables of torchrun are missing: start it with torchrun '
            '--nproc_per_node GPUS -m openseg_plugin predict ...'
        ) from error


def _load(args: argparse.Namespace, tile: Any, local_rank: int) -> 'Segmenter':
    import torch

    from openseg_plugin import compat
    from openseg_plugin.inference.loading import load
    from openseg_plugin.layers.memory import reuse_freed_memory

    reuse_freed_memory()
    if args.trust_checkpoint:
        compat.trust_checkpoints(True)
    segfix = None
    if args.segfix is not None:
        from openseg_plugin.engine.runner.testing import segfix_source

        segfix = dict(segfix_source(args.segfix, exact=args.exact), scale=args.segfix_scale or 2)
    model, checkpoint, options, precision = to_load(args)
    device = args.device
    if device == 'cuda' or (device is None and torch.cuda.is_available()):
        device = f'cuda:{local_rank}'  # every process of a machine has its own
        if local_rank < torch.cuda.device_count():
            torch.cuda.set_device(local_rank)  # of the network of --segfix, too
    return load(
        model,
        checkpoint,
        device=device,
        aug_test=args.aug_test,
        scales=args.scales,
        flip=args.flip,
        segfix=segfix,
        tile=tile,
        overlap=args.overlap,
        ignore_exif=args.ignore_exif,
        exact=args.exact,
        precision=precision,
        compiled=args.compiled,
        cfg_options=options,
    )


def _options_of_kinds(sources: Sequence['Source'], kinds: Sequence[str]) -> list[str]:
    """Options that say how something looks that is written now."""
    moving = any(source.kind in ('video', 'camera') for source in sources)
    names = [*_OF_VIDEOS] if moving else []
    names += _OF_OVERLAYS if moving or 'overlay' in kinds else ()
    return [*names, *(_OF_POLYGONS if 'polygons' in kinds else ())]


def _offsets(args: argparse.Namespace) -> 'Offsets | None':
    """Files of ``--segfix``, which results are made of, too; None without them."""
    if args.segfix is None or '.py:' in args.segfix:
        return None
    from openseg_plugin.segfix.sources import Offsets

    return Offsets(Path(args.segfix))


def _output(
    args: argparse.Namespace,
    out: Path,
    segmenter: 'Segmenter',
    of_kinds: Sequence[str],
    offsets: 'Offsets | None',
) -> 'Output':
    """The folder, which remembers what its results were made with.

    Raises:
        DataError: it holds results of something else, and ``--overwrite`` is not given.
    """
    from openseg_plugin.utils.batch import Output
    from openseg_plugin.utils.files import digest_of

    record: dict[str, Any] = {
        'model': args.checkpoint or args.model,
        'config': args.model if args.checkpoint else None,
        **segmenter.digests(),
    }
    names = ('aug_test', 'scales', 'flip', 'segfix', 'segfix_scale', 'ignore_exif')
    for name in (*names, 'exact', 'precision', 'backend', 'tile', 'overlap'):
        record[name] = getattr(args, name)
    record['cfg_options'] = {key: str(value) for key, value in (args.cfg_options or {}).items()}
    network = (args.segfix or '').partition('.py:')[2]
    record['segfix_weights'] = digest_of(network) if network else None
    # of a folder the time of each file counts, but a zip that was fetched may be of any time
    archive = offsets.archive if offsets else None
    record['segfix_offsets'] = digest_of(archive) if archive else None
    return Output(
        out,
        record,
        of_kinds={name: getattr(args, name) for name in of_kinds},
        anew=args.overwrite,
        remedy='give another folder, or --overwrite to make its results anew',
    )


def _say_end(
    done: int,
    kept: int,
    seconds: float,
    out: Path,
    failures: Sequence[tuple[str, str]],
    rank: int | None,
) -> None:
    for _, reason in failures:
        print(f'not predicted: {reason}', file=sys.stderr)
    parts = [f'{done} predicted in {seconds:.1f} s ({done / max(seconds, 1e-9):.2f} images/s)']
    if kept:
        parts.append(f'{kept} were done before')
    if failures:
        parts.append(f'{len(failures)} could not be predicted')
    who = '' if rank is None else f'process {rank}: '
    print(f'{who}{", ".join(parts)}: {out}')


if __name__ == '__main__':
    sys.exit(run(main))
