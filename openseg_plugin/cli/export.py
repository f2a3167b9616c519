"""``openseg export``: a model as one checked file for ONNX Runtime, OpenVINO or torch."""

import argparse
import contextlib
import hashlib
import json
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from openseg_plugin import __version__, compat
from openseg_plugin.cli.main import print_json, quiet_libraries, run
from openseg_plugin.cli.parser import ArgumentParser
from openseg_plugin.errors import ConfigError, DataError

if TYPE_CHECKING:
    import numpy as np

    from openseg_plugin.export.check import CheckResult
    from openseg_plugin.export.graph import GraphOptions
    from openseg_plugin.export.session import ExportedModel
    from openseg_plugin.inference.models import Resolved

EXAMPLES = """examples:
  openseg export ocr/hrnet18_cityscapes_80k.py weights.pth street.onnx
  openseg export CONFIG CKPT street.xml --size 512 1024 --check IMAGES
  openseg export CONFIG CKPT small.onnx --precision int8 --calibrate IMAGES --runner
  openseg export CONFIG CKPT --web page"""
CHECKED = 8  # images
CALIBRATED = 64
SMALLEST_CHECKED = 67  # pixels of a side, above what a file for any size takes
ATTEMPTS = 4  # at 8 bits, each leaving out more layers
_OUTS = ('.onnx', '.xml', '.pt2', '.engine', '.tflite')
BACKENDS = {'onnxruntime': '.onnx', 'openvino': '.xml'}
_SUFFIXES = ('.png', '.jpg', '.jpeg', '.bmp', '.webp')


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
    from openseg_plugin.export.targets import check_target
    from openseg_plugin.export.web import check_web, put_runtime

    if args.web:
        check_web(_written(args.out), args.web)
        if args.checkpoint is None and Path(args.model).suffix == '.onnx':
            return dict(page=str(_page_of(Path(args.model), args)))
        put_runtime(args.web, args.ort_web)
    if args.triton and _written(args.out).suffix == '.pt2':
        raise ConfigError('--triton: servers read .onnx and .xml (OpenVINO), give one as OUT')
    check_target(args.out, args.precision, calibrate=args.calibrate)
    return _export(args)


def for_backend(
    backend: str,
    model: str,
    checkpoint: str | None,
    *,
    precision: str = 'fp32',
    options: dict[str, Any] | None = None,
    needs_logits: bool = True,
) -> Path:
    """The file that ``--backend`` of other tools runs, exported and checked the first time.

    It is kept in ``$OPENSEG_CACHE/exported`` under a name that follows from weights, config and
    version.

    Args:
        backend: 'onnxruntime' or 'openvino'.
        model: MODEL, or a config.
        checkpoint: of the config.
        precision: 'fp32', with OpenVINO also 'bf16'.
        options: dotted settings to change in the config.
        needs_logits: False: labels suffice where the pipeline does not resize, which is faster.

    Raises:
        ConfigError: the backend does not have this precision, or the model is an exported file.
        UserError: as ``openseg export``.
    """
    from openseg_plugin.export import targets
    from openseg_plugin.export.session import exported_file
    from openseg_plugin.inference.models import cache_folder, resolve, test_datasets
    from openseg_plugin.inference.segmenter import resizes
    from openseg_plugin.utils.files import alone, target_errors

    if exported_file(model) is not None:
        raise ConfigError(f'{model} is an exported file, which names its backend: leave it out')
    suffix = BACKENDS[backend]
    if precision not in targets.PRECISIONS[suffix]:
        raise ConfigError(
            f'--precision {precision} is not supported with --backend {backend}: leave one out'
        )
    targets.require(backend)
    resolved = resolve(model, checkpoint, options=options, whole_config=True)
    folder = cache_folder() / 'exported'
    with target_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    is_resized = any(resizes(one['pipeline']) for one in test_datasets(resolved.cfg))
    output = 'logits' if needs_logits or is_resized else 'labels'
    out = folder / f'{_fingerprint(resolved, precision, output)}{suffix}'
    with alone(folder):  # of the processes of one run, one exports
        if not out.exists():
            names = [model, checkpoint, str(out)] if checkpoint else [model, str(out)]
            words = ['--precision', precision, '--output', output]
            args = _named(build_parser().parse_args([*names, *words]))
            args.cfg_options = options
            args.trust_checkpoint = compat.checkpoints_are_trusted()
            with contextlib.redirect_stdout(sys.stderr):  # results alone go to standard output
                _export(args)
    return out


def to_load(args: argparse.Namespace) -> tuple[str, str | None, dict[str, Any] | None, str]:
    """Model, checkpoint, options and precision to load; with ``--backend`` the exported file alone.

    Args:
        args: of a verb with ``--backend``.

    Raises: as :func:`for_backend`.
    """
    if args.backend == 'torch':
        return args.model, args.checkpoint, args.cfg_options, args.precision
    file = for_backend(
        args.backend,
        args.model,
        args.checkpoint,
        precision=args.precision,
        options=args.cfg_options,
    )
    return str(file), None, None, 'fp32'  # the file has the precision


def _fingerprint(resolved: 'Resolved', *options: str) -> str:
    from openseg_plugin.converters.checkpoints.stored_config import as_data
    from openseg_plugin.export.metadata import sha256

    weights = Path(resolved.name)
    config = json.dumps(as_data(resolved.cfg.to_dict()), sort_keys=True)
    # of a folder for a hub all files; names of the model zoo stand for one file each
    files = [weights] if weights.is_file() else sorted(weights.glob('*'))
    digests = [sha256(file) for file in files if file.is_file()] or [resolved.name]
    text = '\n'.join((*digests, config, *options, __version__))
    return hashlib.sha256(text.encode()).hexdigest()[:24]


def build_parser() -> ArgumentParser:
    """All options."""
    parser = ArgumentParser(
        'Export a model as one file: image in, labels out, with channel order, normalisation, '
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
        '--scales', type=float, nargs='+', default=[1.0], metavar='S', help='multi-scale inside'
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
    """The page of a file that was exported, and checked, before."""
    from openseg_plugin.export.session import metadata_in
    from openseg_plugin.export.web import check_web, put_runtime, write_web

    about = metadata_in(model)
    check_web(model, args.web, about)
    put_runtime(args.web, args.ort_web)
    page = write_web(model, args.web, about)
    print(f'page: {page}')
    return page


def _export(args: argparse.Namespace) -> dict[str, Any]:
    """Exports, checks and puts in place; what ``--json`` prints."""
    from openseg_plugin.export import check, metadata, targets
    from openseg_plugin.export.graph import GraphOptions, InferenceGraph
    from openseg_plugin.export.session import ExportedModel
    from openseg_plugin.export.web import check_web, write_web
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
    model, described, flip_pairs = _model(args)
    if hasattr(model, 'scales'):  # the network itself fuses its scales
        options = replace(options, scales=(1.0,))
    options = _of_windows(model, options)
    graph = InferenceGraph(model, options, flip_pairs=flip_pairs).eval()
    joins = _predicts_by_windows(model)  # of images of any size, also where a window has one
    images, annotations = _images(args, described['config'], None if joins else args.size)
    if images and options.size is None:
        others = _at_other_sizes(images[0])
        images, annotations = images + others, annotations + [None] * len(others)
    calibration = _folder_images(args.calibrate, args.size) if args.calibrate else []
    # of an engine the file that it is built from has 32 bits
    precision = 'fp32' if args.out.suffix == '.engine' else args.precision
    made = metadata.metadata_of(graph, precision=precision, **described)
    if args.web:
        check_web(_written(args.out), args.web, made)
    out = _written(args.out)
    out.parent.mkdir(parents=True, exist_ok=True)
    part = out.with_name(f'.part-{out.name}')
    steps = 2 + bool(images)
    result: check.CheckResult | None = None

    def compared(exported: ExportedModel) -> check.CheckResult:
        return check.compare(exported, model, images, annotations, flip_pairs=flip_pairs)

    try:
        with Progress(f'exporting {out.name}', total=steps) as progress:
            made = targets.write(graph, part, replace(made, precision='fp32'), opset=args.opset)
            progress.step()
            if images:
                result = compared(ExportedModel(part))
                progress.step()
            if precision != 'fp32':
                if result is not None:
                    check.require_equal(
                        result, hint=f', and that is in 32 bits, before {precision}'
                    )
                made = replace(made, precision=precision)
                targets.set_metadata(part, made)
                if precision == 'int8':
                    result = _quantised(args, part, made, calibration, compared)
                elif precision == 'fp16':
                    targets.compress_to_fp16(part)
                if images and precision != 'int8':
                    result = compared(ExportedModel(part))
            progress.step()
        if images:
            assert result is not None, 'images were compared'
            print(result.sentence())
            check.require_equal(
                result, precision=precision, hint=_hint(precision, args.leave_out or ())
            )
            targets.set_metadata(part, replace(made, check=result.as_dict()))
        _put_in_place(part, out)
    finally:
        for leftover in (part, part.with_suffix('.bin')):
            leftover.unlink(missing_ok=True)
    files = [out, out.with_suffix('.bin')] if out.suffix == '.xml' else [out]
    size = sum(one.stat().st_size for one in files)
    print(f'{out}: {size / 2**20:.1f} MB, {len(made.classes)} classes')
    told: dict[str, Any] = dict(
        model=str(out),
        files=[
            dict(file=str(one), bytes=one.stat().st_size, sha256=metadata.sha256(one))
            for one in files
        ],
        precision=args.precision,
        left_out=args.leave_out or [],
        classes=made.classes,
        check=result.as_dict() if result is not None and images else None,
    )
    if args.out.suffix == '.engine':
        told |= _make_engine(out, args.out, made, fp16=args.precision == 'fp16')
    if args.triton:
        told['repository'] = str(targets.write_triton(out, args.triton, made))
        print(f'model repository: {told["repository"]}')
    if args.web:
        told['page'] = str(write_web(out, args.web, made))
        print(f'page: {told["page"]}')
    if args.runner:
        told['runner'] = str(targets.write_runner(out))
        print(f'runner: {told["runner"]}')
    return told


def _written(out: Path) -> Path:
    """The file that is written and checked: of an engine the ONNX file that it is built from."""
    return out.with_suffix('.onnx') if out.suffix == '.engine' else out


def _of_windows(model: Any, options: 'GraphOptions') -> 'GraphOptions':
    """Logits for a model that predicts by windows: the program that runs the file joins them."""
    if not _predicts_by_windows(model):
        return options
    if options.output not in ('labels', 'logits') or options.scales != (1.0,) or options.flip:
        raise ConfigError(
            "this model predicts by windows (test_cfg.mode='slide'), whose logits are joined by "
            'what runs the file: leave --output, --scales and --flip out'
        )
    if options.output == 'labels':
        print('the model predicts by windows: the file gives logits, which are joined outside')
    return replace(options, output='logits')


def _predicts_by_windows(model: Any) -> bool:
    return (getattr(model, 'test_cfg', None) or {}).get('mode') == 'slide'


def _quantised(
    args: argparse.Namespace,
    part: Path,
    made: Any,
    calibration: 'list[np.ndarray]',
    compared: 'Callable[[ExportedModel], CheckResult]',
) -> Any:
    """The file in 8 bits; layers that lose most are left out until it is good enough.

    Returns:
        what the comparison says, of no images with ``--check none``.
    """
    from openseg_plugin.export import targets
    from openseg_plugin.export.check import MOST_DIFFERING_BY_PRECISION
    from openseg_plugin.export.session import ExportedModel

    left_out = list(args.leave_out or ())
    exact = part.with_name(f'.exact-{part.name}')
    _copy(part, exact)
    try:
        for attempt in range(ATTEMPTS):
            targets.quantise(exact, calibration, made, left_out=left_out, target=part)
            result = compared(ExportedModel(part))
            if result.is_right('int8') or not result.images:
                break
            if part.suffix == '.xml':
                print(f'{result.sentence()}: NNCF looks for layers to leave in 32 bits')
                before = targets.layers_in_8_bits(part)
                few = MOST_DIFFERING_BY_PRECISION['int8'] / 2
                targets.quantise(
                    exact, calibration, made, left_out=left_out, target=part, most_differing=few
                )
                worst = sorted(before - targets.layers_in_8_bits(part))
                print(f'left in 32 bits, {", ".join(worst) or "none"}')
                left_out += worst
                result = compared(ExportedModel(part))
                break
            if attempt == ATTEMPTS - 1:
                break
            worst = targets.worst_layers(exact, part, calibration[0], made, known=left_out)
            print(f'{result.sentence()}: left in 32 bits, {", ".join(worst)}')
            left_out += worst
        args.leave_out = left_out
        return result
    finally:
        for leftover in (exact, exact.with_suffix('.bin')):
            leftover.unlink(missing_ok=True)


def _hint(precision: str, left_out: Sequence[str]) -> str:
    if precision in ('bf16', 'fp16'):
        return f'; {precision} leaves no layer out: export in fp32, or in int8 with --leave-out'
    if precision != 'int8':
        return ''
    if left_out:
        return f'; --leave-out {" ".join(left_out)} did not suffice: calibrate on more images'
    return '; give layers that stay in 32 bits: --leave-out NAME ...'


def _copy(source: Path, target: Path) -> None:
    shutil.copyfile(source, target)
    if source.suffix == '.xml':
        shutil.copyfile(source.with_suffix('.bin'), target.with_suffix('.bin'))


def _make_engine(onnx: Path, engine: Path, made: Any, *, fp16: bool) -> dict[str, Any]:
    """Builds a TensorRT engine where its tool is; elsewhere says the command.

    Returns:
        the engine, None where it was not built, and the command.

    Raises:
        ConfigError: the tool failed.
    """
    from openseg_plugin.export.targets import trtexec_command, unknown_to_tensorrt

    strange = unknown_to_tensorrt(onnx)
    if strange:
        print(f'not on the list of operators that TensorRT reads: {", ".join(strange)}')
    command = trtexec_command(onnx, engine, made) + (['--fp16'] if fp16 else [])
    if shutil.which('trtexec') is None:
        print(f'TensorRT is not here; on the machine with the GPU:\n  {shlex.join(command)}')
        return dict(engine=None, command=shlex.join(command))
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode or not engine.is_file():
        last = (done.stderr or done.stdout).strip().splitlines()[-1:] or ['no reason given']
        raise ConfigError(f'trtexec failed with status {done.returncode}: {last[0]}')
    print(
        f'{engine}: {engine.stat().st_size / 2**20:.1f} MB, of a file that was checked in 32 bits'
    )
    return dict(engine=str(engine), command=shlex.join(command))


def _model(args: argparse.Namespace) -> tuple[Any, dict[str, Any], list[list[int]]]:
    """The model with its weights, what the metadata say of it, and classes that a flip swaps."""
    import torch
    from mmengine.model import revert_sync_batchnorm

    from openseg_plugin.config.queries import is_model
    from openseg_plugin.converters.checkpoints.stored_config import as_data
    from openseg_plugin.inference.models import build, dataset_meta, resolve
    from openseg_plugin.models.segmentors import HierarchicalMultiScaleSegmentor

    resolved = resolve(args.model, args.checkpoint, options=args.cfg_options, whole_config=True)
    if is_model(resolved.cfg.model, HierarchicalMultiScaleSegmentor) and args.scales != [1.0]:
        resolved.cfg.model.scales = tuple(args.scales)
    config = as_data(resolved.cfg.to_dict())
    model = revert_sync_batchnorm(build(resolved, device=torch.device('cpu'))).eval()
    head: Any = model.decode_head
    head = head[-1] if isinstance(head, torch.nn.ModuleList) else head
    meta = dataset_meta(resolved, head.num_classes)
    weights = Path(resolved.name)
    described = dict(
        classes=meta['classes'],
        palette=meta['palette'],
        config=config,
        checkpoint=weights if weights.is_file() else None,
    )
    return model, described, meta['flip_pairs']


def _images(
    args: argparse.Namespace, config: Any, size: Sequence[int] | None
) -> 'tuple[list[np.ndarray], list[np.ndarray | None]]':
    """Images to compare on, and their true classes where there are some."""
    if args.check == 'none':
        return [], []
    if args.check != 'auto':
        return _folder_pairs(Path(args.check), size)
    found = _of_test_set(config, size)
    if found:
        return [image for image, _ in found], [labels for _, labels in found]
    from openseg_plugin.synth.scene import draw_scene

    height, width = size or (97, 161)
    # one larger than what is recorded, others of odd sides
    sizes = [(height, width)] if size else [(97, 161), (128, 256), (65, 70), (203, 307)]
    images = [draw_scene((0, index), size=one).image for index, one in enumerate(sizes)]
    return images, [None] * len(images)


def _of_test_set(
    config: Any, size: Sequence[int] | None
) -> 'list[tuple[np.ndarray, np.ndarray | None]]':
    """Images and labels from the config's test set, evenly spaced; none where it is not here."""
    import numpy as np
    from PIL import Image

    from openseg_plugin.converters.checkpoints.stored_config import from_data
    from openseg_plugin.registry import DATASETS

    try:
        dataset = DATASETS.build(from_data(config)['test_dataloader']['dataset'])
        chosen = np.linspace(0, len(dataset) - 1, min(CHECKED, len(dataset))).round().astype(int)
        found = []
        for index in chosen:
            sample = dataset[int(index)]['data_samples']
            with Image.open(sample.img_path) as opened:
                image = np.asarray(opened.convert('RGB'))
            labels = sample.gt_sem_seg.data[0].numpy() if 'gt_sem_seg' in sample else None
            fits = labels is not None and labels.shape == image.shape[:2]
            if size is not None:
                image, fits = _at_size(image, size), fits and image.shape[:2] == tuple(size)
            found.append((image, labels if fits else None))
    except Exception:  # whatever a dataset that is not here does
        return []
    return found


def _folder_pairs(
    folder: Path, size: Sequence[int] | None
) -> 'tuple[list[np.ndarray], list[np.ndarray | None]]':
    """Images of a folder, or of ``image`` in it with the labels of the same names in ``label``.

    That is how ``openseg convert-dataset`` lays out a split.
    """
    import numpy as np
    from PIL import Image

    from openseg_plugin.utils.images import read_label

    inside = _image_folder(folder)
    images, annotations = [], []
    for path in _image_files(inside, CHECKED):
        image = _read(path)
        annotation = None
        if inside != folder:
            name = path.relative_to(inside).with_suffix('.png')
            labels = read_label(folder / 'label' / name)
            if labels.shape != image.shape[:2]:
                raise DataError(
                    f'{folder / "label" / name} has {labels.shape[0]}x{labels.shape[1]} pixels and '
                    f'its image {image.shape[0]}x{image.shape[1]}: both must have one size'
                )
            nearest = Image.Resampling.NEAREST
            if size is not None:
                labels = np.asarray(Image.fromarray(labels).resize((size[1], size[0]), nearest))
            annotation = labels
        images.append(_at_size(image, size))
        annotations.append(annotation)
    return images, annotations


def _image_folder(folder: Path) -> Path:
    return folder / 'image' if (folder / 'label').is_dir() else folder


def _image_files(folder: Path, most: int) -> list[Path]:
    """At most so many, evenly spaced over what may be sorted by town.

    Raises:
        DataError: there are none.
    """
    if not folder.is_dir():
        raise DataError(f'{folder} is no folder: give one with images')
    files = [path for path in sorted(folder.rglob('*')) if path.suffix.lower() in _SUFFIXES]
    if not files:
        raise DataError(f'{folder} has no images ({", ".join(_SUFFIXES)})')
    count = min(most, len(files))
    return [files[index * (len(files) - 1) // max(count - 1, 1)] for index in range(count)]


def _read(path: Path) -> 'np.ndarray':
    """(H, W, 3) uint8.

    Raises:
        DataError: it cannot be decoded.
    """
    import numpy as np
    from PIL import Image

    try:
        with Image.open(path) as opened:
            return np.asarray(opened.convert('RGB'))
    except OSError as error:
        raise DataError(f'image {path} cannot be decoded ({error}): replace it') from error


def _folder_images(folder: Path, size: Sequence[int] | None) -> 'list[np.ndarray]':
    files = _image_files(_image_folder(folder), CALIBRATED)
    return [_at_size(_read(path), size) for path in files]


def _at_other_sizes(image: 'np.ndarray') -> 'list[np.ndarray]':
    """An image with odd sides, one larger and one smaller: those of a test set may all be equal."""
    height, width = image.shape[:2]
    sizes = [(height * 5 // 4 | 1, width * 9 // 8 | 1), (height * 5 // 8 | 1, width * 3 // 4 | 1)]
    return [_at_size(image, [max(side, SMALLEST_CHECKED) for side in size]) for size in sizes]


def _at_size(image: 'np.ndarray', size: Sequence[int] | None) -> 'np.ndarray':
    import numpy as np
    from PIL import Image

    if size is None or image.shape[:2] == tuple(size):
        return image
    resized = Image.fromarray(image).resize((size[1], size[0]), Image.Resampling.BILINEAR)
    return np.asarray(resized)


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
