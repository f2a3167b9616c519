"""``openseg serve MODEL``: a model behind HTTP, for programs and for a page in the browser."""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from openseg_plugin.cli.main import quiet_libraries, run
from openseg_plugin.cli.parser import ArgumentParser, check_backend, to_load, whole_number
from openseg_plugin.errors import ConfigError

EPILOG = """examples:
  openseg serve best.pth
  openseg serve street.onnx --port 9000 --max-batch 16 --queue 128
then, from this machine:
  curl --data-binary @street.jpg "http://127.0.0.1:8000/predict?output=overlay" -o overlay.jpg
"""


def main(argv: Sequence[str] | None = None) -> None:
    """Serves until it is interrupted.

    Raises:
        UserError: whatever is wrong with arguments or model, or an address that is taken.
    """
    args = _named(build_parser().parse_args(argv))
    from openseg_plugin import compat
    from openseg_plugin.export.web import page_files
    from openseg_plugin.inference import tiling
    from openseg_plugin.inference.loading import load
    from openseg_plugin.inference.server import Limits, Service, require_serving, serve
    from openseg_plugin.layers.memory import reuse_freed_memory

    require_serving()
    tile = tiling.parse_tile(args.tile)
    quiet_libraries()
    reuse_freed_memory()
    compat.trust_checkpoints(args.trust_checkpoint)
    name = args.name or Path(args.checkpoint or args.model).stem
    model, checkpoint, options, precision = to_load(args)
    segmenter = load(
        model,
        checkpoint,
        device=args.device,
        tile=tile,
        exact=args.exact,
        precision=precision,
        compiled=args.compiled,
        cfg_options=options,
    )
    service = Service(
        segmenter,
        name=name,
        limits=Limits(
            batch=args.max_batch,
            window=args.window / 1000,
            queue=args.queue,
            max_bytes=args.max_megabytes * 2**20,
            max_pixels=args.max_megapixels * 10**6,
            timeout=args.timeout,
        ),
        hidden=[form for given in (*args.names, model) for form in (given, os.path.abspath(given))],
        page=page_files(name),
    )
    serve(service, host=args.host, port=args.port, said=_say)


def build_parser() -> ArgumentParser:
    """All options."""
    parser = ArgumentParser(
        'Answer images with label maps, overlays or polygons over HTTP. Images of one size that '
        'arrive together are predicted together; what is too much is refused. The address itself '
        'shows a page on which images are dropped.',
        epilog=EPILOG,
    )
    parser.add_argument(
        'names',
        nargs='+',
        metavar='MODEL',
        help='checkpoint with its config inside, published file, name of the model zoo, file made '
        'by openseg export, hf://user/name, or CONFIG CHECKPOINT',
    )
    parser.add_argument(
        '--host',
        default='127.0.0.1',
        help='address to listen at; 0.0.0.0 is open to the network, without any password',
    )
    parser.add_argument('--port', type=whole_number(0, 65535), default=8000, help='0: a free one')
    parser.add_argument('--name', help='what the page and /metadata call the model (its file)')
    parser.add_argument(
        '--max-batch',
        type=whole_number(1, 1024),
        default=8,
        metavar='N',
        help='images that are predicted together',
    )
    parser.add_argument(
        '--window',
        type=whole_number(0, 1000),
        default=4,
        metavar='MS',
        help='milliseconds that the first image of a batch waits for others',
    )
    parser.add_argument(
        '--queue',
        type=whole_number(1, 100000),
        default=64,
        metavar='N',
        help='requests at a time; one more is answered with 429',
    )
    parser.add_argument(
        '--max-megabytes', type=whole_number(1, 4096), default=32, metavar='MB', help='of a body'
    )
    parser.add_argument(
        '--max-megapixels', type=whole_number(1, 1000), default=32, metavar='MP', help='of an image'
    )
    parser.add_argument(
        '--timeout',
        type=whole_number(1, 86400),
        default=60,
        metavar='S',
        help='seconds of a request',
    )
    parser.add_argument('--device', help='such as cuda or cpu (default: the GPU if there is one)')
    parser.add_argument(
        '--tile', default='auto', metavar='auto|off|HxW', help='cut large images into tiles'
    )
    parser.add_preparation_options()
    parser.add_argument('--trust-checkpoint', action='store_true', help='read files that run code')
    parser.add_cfg_options()
    return parser


def _named(args: argparse.Namespace) -> argparse.Namespace:
    """The arguments with MODEL, or CONFIG and CHECKPOINT.

    Raises:
        ConfigError: there are too many, or another option does not suit ``--backend``.
    """
    if len(args.names) > 2:
        raise ConfigError(f'got {" ".join(args.names)}: give MODEL, or CONFIG CHECKPOINT')
    args.model, args.checkpoint = (*args.names, None)[:2]
    check_backend(args)
    return args


def _say(sentence: str) -> None:
    print(sentence, flush=True)


if __name__ == '__main__':
    sys.exit(run(main))
