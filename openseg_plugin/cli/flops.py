"""``openseg flops``: parameters, multiply-adds and memory of a model at an image size."""

import contextlib
import copy
import json
import sys
from collections.abc import Sequence

from openseg_plugin.cli.main import run, silent_log
from openseg_plugin.cli.parser import ArgumentParser
from openseg_plugin.errors import ConfigError

EXAMPLES = """examples:
  openseg flops ocr/hrnet48_cityscapes_80k.py --size 1024 2048
  openseg flops my.py --json"""


def main(argv: Sequence[str] | None = None) -> None:
    """Prints the numbers.

    Raises:
        ConfigError: a config that does not exist, has no model, or cannot take the size.
    """
    args = build_parser().parse_args(argv)
    if min(*args.size, args.channels) < 1:
        raise ConfigError(f'--size {args.size[0]} {args.size[1]}: give sizes of 1 pixel or more')
    with contextlib.redirect_stdout(sys.stderr), silent_log():  # what libraries tell is no result
        counts = count(args.config, (args.channels, *args.size), options=args.cfg_options)
    if args.json:
        print(json.dumps(counts))
        return
    print(f'parameters     {counts["parameters"] / 1e6:.2f} M')
    print(f'multiply-adds  {counts["multiply_adds"] / 1e9:.2f} G at {args.size[0]}x{args.size[1]}')
    print(f'memory         {counts["bytes"] / 2**20:.0f} MB of tensors at most, float32, batch 1')


def build_parser() -> ArgumentParser:
    """All options."""
    parser = ArgumentParser(
        'Count parameters, multiply-adds and the memory that tensors of one prediction take. '
        'Nothing is computed: any size works on any machine.',
        epilog=EXAMPLES,
    )
    parser.add_config_argument()
    parser.add_argument(
        '--size', type=int, nargs=2, default=(1024, 2048), metavar=('H', 'W'), help='in pixels'
    )
    parser.add_argument('--channels', type=int, default=3, metavar='C', help='of the image')
    parser.add_argument('--json', action='store_true', help='print JSON')
    parser.add_cfg_options()
    return parser


def count(config: str, shape: tuple[int, int, int], *, options: dict | None = None) -> dict:
    """Numbers of one prediction of a batch of one image, counted on the meta device.

    Args:
        config: a config, or a MODEL.
        shape: (C, H, W) of the image.
        options: dotted settings to change in the config.

    Raises:
        ConfigError: no such config, no model in it, or it cannot take an image of that size.
        CheckpointError: no such MODEL.
    """
    import torch
    from mmengine.model import revert_sync_batchnorm
    from mmengine.registry import init_default_scope
    from torch.utils.flop_counter import FlopCounterMode

    from openseg_plugin.inference.models import model_config, without_initial_weights
    from openseg_plugin.registry import MODELS
    from openseg_plugin.utils.live_tensors import LiveTensors

    cfg = model_config(config, options=options, whole_config=False)
    if cfg.get('model') is None:
        raise ConfigError(f'config {config} has no model')
    init_default_scope('mmseg')
    model_cfg = copy.deepcopy(cfg.model)
    without_initial_weights(model_cfg)
    with torch.device('meta'):
        model = revert_sync_batchnorm(MODELS.build(model_cfg)).eval()
        image = torch.empty(1, *shape)
    try:
        with torch.no_grad(), FlopCounterMode(display=False) as flops, LiveTensors() as memory:
            model(image, mode='tensor')
    except RuntimeError as error:
        raise ConfigError(
            f'{config} cannot take images of {shape[0]} channels and {shape[1]}x{shape[2]} pixels: '
            f'{" ".join(str(error).split())}'
        ) from error
    return dict(
        parameters=sum(one.numel() for one in model.parameters()),
        multiply_adds=flops.get_total_flops() // 2,
        bytes=memory.peak,
    )


if __name__ == '__main__':
    sys.exit(run(main))
