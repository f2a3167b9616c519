"""``openseg export``: a model as one checked file for ONNX Runtime, OpenVINO or torch."""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from openseg_plugin.cli.main import quiet_libraries, run
from openseg_plugin.cli.parser import ArgumentParser
from openseg_plugin.errors import ConfigError, DataError

if TYPE_CHECKING:
    import numpy as np

EXAMPLES = """examples:
  openseg export ocr/hrnet18_cityscapes_80k.py weights.pth street.onnx
  openseg export CONFIG CKPT street.xml --size 512 1024 --check IMAGES
  openseg export CONFIG CKPT small.onnx --precision int8 --calibrate IMAGES --runner"""
CHECKED = 8  # images
_SUFFIXES = ('.png', '.jpg', '.jpeg', '.bmp', '.webp')


def main(argv: Sequence[str] | None = None) -> int:
    """Exports and checks; 0, or 2 (by the caller) where the file differs and was not written.

    Raises:
        UserError: arguments, a model or images that cannot be used, or a file that is wrong.
    """
    args = build_parser().parse_args(argv)
    from openseg_plugin.export.targets import check_target

    check_target(args.out, args.precision, calibrate=args.calibrate)
    _export(args)
    return 0


def build_parser() -> ArgumentParser:
    """All options."""
    parser = ArgumentParser(
        'Export a model as one file: image in, labels out, with channel order, normalisation, '
        'padding, resize and arg-max inside. The file is compared with the model on images, and '
        'put in place only if it is right.',
        epilog=EXAMPLES,
    )
    parser.add_argument('config', metavar='CONFIG', help='a file, or the name of one of ours')
    parser.add_argument('checkpoint', metavar='CKPT', help='its weights')
    parser.add_argument('out', type=Path, metavar='OUT', help='.onnx, .xml (OpenVINO) or .pt2')
    parser.add_argument('--size', type=int, nargs=2, metavar=('H', 'W'), help='(default: any)')
    parser.add_argument('--batch', default='1', metavar='N', help='number of images, or dynamic')
    parser.add_argument('--input', default='uint8-nhwc', help='uint8-nhwc, uint8-nchw, float-nchw')
    parser.add_argument('--channels', default='rgb', help='order in the input: rgb or bgr')
    parser.add_argument(
        '--output', default='labels', help='labels, logits, probabilities or labels+confidence'
    )
    parser.add_argument(
        '--scales', type=float, nargs='+', default=[1.0], metavar='S', help='multi-scale inside'
    )
    parser.add_argument('--flip', action='store_true', help='add the flipped image inside')
    parser.add_argument('--opset', type=int, default=20, help='of ONNX')
    parser.add_argument('--precision', default='fp32', help='fp32, fp16 (.xml) or int8 (.onnx)')
    parser.add_argument('--calibrate', type=Path, metavar='DIR', help='images for int8')
    parser.add_argument(
        '--check', default='auto', metavar='DIR|none', help='images to compare on; auto: drawn ones'
    )
    parser.add_argument('--runner', action='store_true', help='write run.py beside the file')
    parser.add_argument('--trust-checkpoint', action='store_true', help='read files that run code')
    parser.add_cfg_options()
    return parser


def _export(args: argparse.Namespace) -> None:
    from openseg_plugin import compat
    from openseg_plugin.export import metadata, session, targets
    from openseg_plugin.export.graph import GraphOptions, InferenceGraph
    from openseg_plugin.utils.progress import Progress

    quiet_libraries()
    compat.trust_checkpoints(args.trust_checkpoint)
    options = GraphOptions(
        size=None if args.size is None else (args.size[0], args.size[1]),
        batch=None if args.batch == 'dynamic' else _number(args.batch),
        layout=args.input,
        channels=args.channels,
        output=args.output,
        scales=tuple(args.scales),
        flip=args.flip,
    )
    model, described = _model(args)
    if hasattr(model, 'scales'):  # the network itself fuses its scales
        options = replace(options, scales=(1.0,))
    graph = InferenceGraph(model, options).eval()
    images = _images(args.check, args.size)
    made = metadata.metadata_of(graph, checkpoint=Path(args.checkpoint), **described)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    part = args.out.with_name(f'.part-{args.out.name}')
    steps = 2 + bool(images)
    try:
        with Progress(f'exporting {args.out.name}', total=steps) as progress:
            targets.write(graph, part, made, opset=args.opset)
            progress.step()
            if args.precision == 'int8':
                targets.quantise(part, _folder_images(args.calibrate, args.size), made)
            if args.precision == 'fp16':
                targets.compress_to_fp16(part)
            progress.step()
            if images:
                result = session.compare(session.ExportedModel(part), model, images)
                progress.step()
        if images:
            print(result.sentence())
            if args.precision == 'fp32':
                session.require_equal(result)
        _put_in_place(part, args.out)
    finally:
        for leftover in (part, part.with_suffix('.bin')):
            leftover.unlink(missing_ok=True)
    print(f'{args.out}: {args.out.stat().st_size / 2**20:.1f} MB, {len(made.classes)} classes')
    if args.runner:
        print(f'runner: {targets.write_runner(args.out)}')


def _model(args: argparse.Namespace) -> tuple[Any, dict[str, Any]]:
    """The model with its weights, and what the metadata say of it."""
    from mmengine.model import revert_sync_batchnorm
    from mmengine.registry import init_default_scope
    from mmengine.runner import load_checkpoint

    from openseg_plugin.cli.verify_checkpoint import class_names
    from openseg_plugin.config.loading import as_plain, load_config
    from openseg_plugin.registry import MODELS

    cfg = load_config(args.config, options=args.cfg_options)
    init_default_scope('mmseg')
    settings = cfg.model.copy()
    if settings.get('backbone'):
        settings.backbone.init_cfg = None
    settings.pretrained = None
    is_hierarchical = 'scales' in settings or 'scale_attention' in settings
    if is_hierarchical and args.scales != [1.0]:
        settings.scales = tuple(args.scales)
    model = revert_sync_batchnorm(MODELS.build(settings)).eval()
    load_checkpoint(model, args.checkpoint, map_location='cpu')
    head = model.decode_head
    head = head[-1] if hasattr(head, '__getitem__') else head
    classes, palette = class_names(cfg, head.num_classes)
    config = as_plain(cfg.to_dict())
    return model, dict(classes=classes, palette=palette, config=config)


def _images(wanted: str, size: Sequence[int] | None) -> 'list[np.ndarray]':
    if wanted == 'none':
        return []
    if wanted != 'auto':
        return _folder_images(Path(wanted), size)[:CHECKED]
    from openseg_plugin.synth.scene import draw_scene

    height, width = size or (97, 161)
    # one larger than what is recorded, others of odd sides
    sizes = [(height, width)] if size else [(97, 161), (128, 256), (65, 70), (203, 307)]
    return [draw_scene((0, index), size=one).image for index, one in enumerate(sizes)]


def _folder_images(folder: Path | None, size: Sequence[int] | None) -> 'list[np.ndarray]':
    import numpy as np
    from PIL import Image

    if folder is None or not folder.is_dir():
        raise DataError(f'{folder} is no folder: give one with images')
    files = [path for path in sorted(folder.iterdir()) if path.suffix.lower() in _SUFFIXES]
    if not files:
        raise DataError(f'{folder} has no images ({", ".join(_SUFFIXES)})')
    found = []
    for path in files:
        with Image.open(path) as opened:
            image = opened.convert('RGB')
            if size is not None:
                image = image.resize((size[1], size[0]), Image.Resampling.BILINEAR)
            found.append(np.asarray(image))
    return found


def _put_in_place(part: Path, out: Path) -> None:
    if out.suffix == '.xml':
        part.with_suffix('.bin').replace(out.with_suffix('.bin'))
    part.replace(out)


def _number(text: str) -> int:
    if not text.isdigit():
        raise ConfigError(f'--batch {text}: give a number, or dynamic')
    return int(text)


if __name__ == '__main__':
    sys.exit(run(main))
