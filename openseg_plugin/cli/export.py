"""``openseg export``: a model as one checked file for ONNX Runtime, OpenVINO or torch."""

import argparse
import contextlib
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from openseg_plugin import compat
from openseg_plugin.cli.main import print_json, quiet_libraries, run
from openseg_plugin.cli.parser import ArgumentParser
from openseg_plugin.errors import ConfigError

EXAMPLES = """examples:
  openseg export ocr/hrnet18_cityscapes_80k.py weights.pth street.onnx
  openseg export CONFIG CKPT street.xml --size 512 1024 --check IMAGES
  openseg export CONFIG CKPT small.onnx --precision int8 --calibrate IMAGES --runner
  openseg export CONFIG CKPT --web page"""
# settled in a file that was exported before
_SETTLED = (
    *('size', 'batch', 'input', 'channels', 'output', 'scales', 'flip', 'opset', 'precision'),
    *('calibrate', 'leave_out', 'runner', 'triton', 'cfg_options'),
)
_OUTS = ('.onnx', '.xml', '.pt2', '.engine', '.tflite')


def main(argv: Sequence[str] | None = None) -> int:
    """Exports and checks; 0, or 1 (by the caller) where the file differs and was not written.

    Raises:
        UserError: arguments, a model or images that cannot be used, or a file that is wrong.
    """
    args = _named(build_parser().parse_args(argv))
    with contextlib.redirect_stdout(sys.stderr if args.json else sys.stdout):
        told = _told(args)
    if args.json:
        print_json(told)
    return 0


def _told(args: argparse.Namespace) -> dict[str, Any]:
    """Exports; what ``--json`` prints."""
    from openseg_plugin.export.job import written_file
    from openseg_plugin.export.targets import check_target
    from openseg_plugin.export.web import check_web, put_runtime

    if args.web:
        if args.checkpoint is None and Path(args.model).suffix == '.onnx':
            return dict(page=str(_page_of(Path(args.model), args)))
        check_web(written_file(args.out), args.web)
        put_runtime(args.web, args.ort_web)
    _refuse_idle_options(args, written_file(args.out).suffix)
    check_target(args.out, args.precision, calibrate=args.calibrate, opset=args.opset)
    return _export(args)


def _refuse_idle_options(args: argparse.Namespace, suffix: str) -> None:
    """Refuses options that nothing would come of.

    Raises:
        ConfigError: there is one.
    """
    if args.triton and suffix not in ('.onnx', '.xml'):
        raise ConfigError('--triton: servers read .onnx and .xml (OpenVINO), give one as OUT')
    if args.runner and suffix == '.pt2':
        raise ConfigError(
            '--runner: run.py reads .onnx, .xml and .tflite, give one as OUT; .pt2 needs torch'
        )
    for option, value in (('--calibrate', args.calibrate), ('--leave-out', args.leave_out)):
        if value is not None and args.precision != 'int8':
            raise ConfigError(f'{option} belongs to --precision int8: add it or leave {option} out')


def build_parser() -> ArgumentParser:
    """All options."""
    parser = ArgumentParser(
        'Export a model as one file: image in, labels out, with channel order, normalization, '
        'padding, resize and arg-max inside. The file is compared with the model on images, and '
        'put in place only if it is right.',
        epilog=EXAMPLES,
    )
    parser.add_argument(
        'names',
        nargs='+',
        metavar='MODEL OUT',
        help='a checkpoint with its config inside, a published file, a name of the model zoo, '
        'hf://user/name, or CONFIG CKPT; and the file to write: .onnx, .xml (OpenVINO), .tflite '
        '(LiteRT), .pt2 or .engine (TensorRT); none with --web',
    )
    parser.add_argument('--size', type=int, nargs=2, metavar=('H', 'W'), help='(default: any)')
    parser.add_argument('--batch', default='1', metavar='N', help='number of images, or dynamic')
    parser.add_argument('--input', default='uint8-nhwc', help='uint8-nhwc, uint8-nchw, float-nchw')
    parser.add_argument('--channels', default='rgb', help='order in the input: rgb or bgr')
    parser.add_argument(
        '--output', default='labels', help='labels, logits, probabilities or labels+confidence'
    )
    parser.add_argument(
        '--scales',
        type=float,
        nargs='+',
        metavar='S',
        help='multi-scale inside (default: 1; of HMSA those of the config)',
    )
    parser.add_argument('--flip', action='store_true', help='add the flipped image inside')
    parser.add_argument('--opset', type=int, default=20, help='of ONNX')
    parser.add_argument('--precision', default='fp32', help='fp32, fp16, bf16 or int8')
    parser.add_argument('--calibrate', type=Path, metavar='DIR', help='images for int8')
    parser.add_argument(
        '--leave-out', nargs='+', metavar='LAYER', help='layers that stay in 32 bits with int8'
    )
    parser.add_argument(
        '--check',
        default='auto',
        metavar='DIR|none',
        help='images to compare on; with folders image and label in it also by mIoU (auto: those '
        "of the config's test set with its labels, or drawn ones)",
    )
    parser.add_argument('--runner', action='store_true', help='write run.py beside the file')
    parser.add_argument(
        '--triton', type=Path, metavar='DIR', help='put the file into a model repository, too'
    )
    parser.add_argument(
        '--web',
        type=Path,
        metavar='DIR',
        help='write a page that runs the model in the browser, without a server; again with '
        'another --precision, the page offers both',
    )
    parser.add_argument(
        '--ort-web',
        type=Path,
        metavar='DIR',
        help='files of the npm package onnxruntime-web for the page (default: npm pack gets them)',
    )
    parser.add_argument('--json', action='store_true', help='print files and check as JSON')
    parser.add_argument('--trust-checkpoint', action='store_true', help='read files that run code')
    parser.add_cfg_options()
    return parser


def _named(args: argparse.Namespace) -> argparse.Namespace:
    """The arguments with MODEL, CKPT and OUT told apart.

    Raises:
        ConfigError: one is missing, or there are too many.
    """
    if args.ort_web is not None and args.web is None:
        raise ConfigError('--ort-web belongs to --web DIR: add it or leave it out')
    names = list(args.names)
    if args.web and (len(names) == 1 or Path(names[-1]).suffix not in _OUTS):
        names.append(str(args.web / 'models' / f'{args.precision}.onnx'))
    if not 2 <= len(names) <= 3:
        raise ConfigError(f'got {" ".join(args.names)}: give MODEL OUT, or CONFIG CKPT OUT')
    args.model, *checkpoint, out = names
    args.checkpoint = checkpoint[0] if checkpoint else None
    args.out = Path(out)
    return args


def _page_of(model: Path, args: argparse.Namespace) -> Path:
    """The page of a file that was exported, and checked, before.

    Raises:
        ConfigError: something else is asked for that is settled in the file.
    """
    from openseg_plugin.export.session import metadata_in
    from openseg_plugin.export.web import check_web, put_runtime, write_web

    parser = build_parser()
    given = [name for name in _SETTLED if getattr(args, name) != parser.get_default(name)]
    asked = [f'--{name.replace("_", "-")}' for name in given]
    if len(args.names) > 1:
        asked.append(args.names[-1])
    if asked:
        raise ConfigError(
            f'{model} is an exported file, and the page takes it as it is: leave '
            f'{", ".join(asked)} out, or export the model'
        )
    about = metadata_in(model)
    check_web(model, args.web, about)
    put_runtime(args.web, args.ort_web)
    page = write_web(model, args.web, about)
    print(f'page: {page}')
    return page


def _export(args: argparse.Namespace) -> dict[str, Any]:
    from openseg_plugin.export.graph import GraphOptions
    from openseg_plugin.export.job import ExportJob, export_model
    from openseg_plugin.inference.exported import model_to_export

    quiet_libraries()
    compat.trust_checkpoints(args.trust_checkpoint)
    options = GraphOptions(
        size=None if args.size is None else (args.size[0], args.size[1]),
        batch=None if args.batch == 'dynamic' else _number(args.batch),
        layout=args.input,
        channels=args.channels,
        output=args.output,
        scales=tuple(args.scales or (1.0,)),
        flip=args.flip,
    )
    source = model_to_export(
        args.model, args.checkpoint, options=args.cfg_options, scales=args.scales
    )
    job = ExportJob(
        args.out,
        options,
        precision=args.precision,
        opset=args.opset,
        calibrate=args.calibrate,
        leave_out=tuple(args.leave_out or ()),
        check=args.check,
        runner=args.runner,
        triton=args.triton,
        web=args.web,
    )
    return export_model(source, job)


def _number(text: str) -> int:
    if not text.isdigit():
        raise ConfigError(f'--batch {text}: give a number, or dynamic')
    return int(text)


if __name__ == '__main__':
    sys.exit(run(main))
