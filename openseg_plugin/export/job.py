"""An export from the built model to the checked file in its place, and what goes with it.

The file is written beside its place, made smaller where that is asked for, compared with the model
on images, and put in place only if it is right. A page, a runner, an engine or a folder of a model
repository are made from the file that passed.
"""

import shlex
import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from openseg_plugin.errors import ConfigError
from openseg_plugin.export import check, quantization, targets
from openseg_plugin.export.graph import JOINING, GraphOptions, InferenceGraph
from openseg_plugin.export.metadata import Metadata, fuses_scales, metadata_of, sha256
from openseg_plugin.export.sample_images import (
    CHECKED,
    at_other_sizes,
    calibration_images,
    images_to_check,
    reader,
)
from openseg_plugin.export.session import ExportedModel
from openseg_plugin.export.web import check_web, write_web
from openseg_plugin.utils.progress import Progress

ATTEMPTS = 4  # at 8 bits, each leaving out more layers
WORST = 20  # one of so many is left out at first, at least one, then twice as many more


@dataclass(frozen=True)
class ExportJob:
    """What is made of a model.

    Attributes:
        out: the file; its ending chooses the target.
        options: what the graph takes and gives.
        precision: 'fp32', 'fp16', 'bf16' or 'int8'.
        opset: of ONNX.
        calibrate: folder of images for int8.
        leave_out: layers that stay in 32 bits with int8.
        check: folder of images to compare on, 'auto' or 'none', see
            :func:`openseg_plugin.export.sample_images.images_to_check`.
        most_checked: images of them.
        runner: write run.py beside the file.
        triton: model repository that gets a copy.
        web: folder of a page that runs the file.
    """

    out: Path
    options: GraphOptions = field(default_factory=GraphOptions)
    precision: str = 'fp32'
    opset: int = targets.OPSET
    calibrate: Path | None = None
    leave_out: tuple[str, ...] = ()
    check: str = 'auto'
    most_checked: int = CHECKED
    runner: bool = False
    triton: Path | None = None
    web: Path | None = None


@dataclass(frozen=True)
class ModelToExport:
    """A built model and what the metadata say of it.

    Attributes:
        model: with its weights, in eval mode.
        classes: their names.
        palette: one RGB color per class.
        config: of the model, as data.
        checkpoint: file of the weights; None: they are none.
        flip_pairs: classes that change places in a flipped image.
        loading: config of the step that loads an image in its test pipeline; None: color images.
    """

    model: nn.Module
    classes: Sequence[str]
    palette: Sequence[Sequence[int]]
    config: Mapping[str, Any]
    checkpoint: Path | None
    flip_pairs: Sequence[Sequence[int]]
    loading: Mapping[str, Any] | None = None


def written_file(out: Path) -> Path:
    """The file that is written and checked: of an engine the ONNX file that it is built from."""
    return out.with_suffix('.onnx') if out.suffix == '.engine' else out


def export_model(
    source: ModelToExport, job: ExportJob, *, said: Callable[[str], None] = print
) -> dict[str, Any]:
    """Writes the file, checks it, and makes what else the job names.

    Args:
        source: the model.
        job: what is made.
        said: gets a sentence for each thing that was made or found.

    Returns:
        what was made, and what the comparison found (``check``; None: of no images), for a script.

    Raises:
        UserError: a model or images that cannot be used, or a file that is wrong.
    """
    model = source.model
    options = job.options
    if fuses_scales(model):  # the network itself fuses its scales
        options = replace(options, scales=(1.0,))
    options = _of_windows(model, options, said)
    graph = InferenceGraph(
        model, options, flip_pairs=source.flip_pairs, joins_late=job.precision in JOINING
    ).eval()
    # of an engine the file that it is built from has 32 bits
    precision = 'fp32' if job.out.suffix == '.engine' else job.precision
    made = metadata_of(
        graph,
        classes=source.classes,
        palette=source.palette,
        config=source.config,
        checkpoint=source.checkpoint,
        precision=precision,
    )
    joins = _predicts_by_windows(model)  # of images of any size, also where a window has one
    size = job.options.size
    read = reader(source.loading, made.image_channels)
    samples = images_to_check(
        job.check,
        source.config,
        None if joins else size,
        most=job.most_checked,
        channels=made.image_channels,
        read=read,
    )
    images, annotations = samples.images, samples.annotations
    if images and options.size is None:
        others = at_other_sizes(images[0])
        images, annotations = images + others, annotations + [None] * len(others)
    calibration = calibration_images(job.calibrate, size, read) if job.calibrate else []
    _require_layout([*images, *calibration], made)
    out = written_file(job.out)
    if job.web:
        check_web(out, job.web, made)
    out.parent.mkdir(parents=True, exist_ok=True)
    part = out.with_name(f'.part-{out.name}')
    steps = 2 + bool(images)
    left_out: Sequence[str] = job.leave_out
    result: check.CheckResult | None = None

    def compared(exported: ExportedModel) -> check.CheckResult:
        return check.compare(
            exported,
            model,
            images,
            annotations,
            flip_pairs=source.flip_pairs,
            source=samples.source,
        )

    try:
        with Progress(f'exporting {out.name}', total=steps) as progress:
            made = targets.write(graph, part, replace(made, precision='fp32'), opset=job.opset)
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
                    result, left_out = _quantized(job, part, made, calibration, compared, said)
                elif precision == 'fp16':
                    quantization.compress_to_fp16(part)
                if images and precision != 'int8':
                    result = compared(ExportedModel(part))
            progress.step()
        if images:
            assert result is not None, 'images were compared'
            said(result.sentence())
            check.require_equal(result, precision=precision, hint=_hint(precision, left_out))
            targets.set_metadata(part, replace(made, check=result.as_dict()))
        _put_in_place(part, out)
    finally:
        for leftover in (part, part.with_suffix('.bin')):
            leftover.unlink(missing_ok=True)
    files = [out, out.with_suffix('.bin')] if out.suffix == '.xml' else [out]
    size_in_bytes = sum(one.stat().st_size for one in files)
    said(f'{out}: {size_in_bytes / 2**20:.1f} MB, {len(made.classes)} classes')
    told: dict[str, Any] = dict(
        model=str(out),
        files=[dict(file=str(one), bytes=one.stat().st_size, sha256=sha256(one)) for one in files],
        precision=job.precision,
        left_out=list(left_out),
        classes=made.classes,
        check=result.as_dict() if result is not None and images else None,
    )
    if job.out.suffix == '.engine':
        told |= _make_engine(out, job.out, made, fp16=job.precision == 'fp16', said=said)
    if job.triton:
        told['repository'] = str(targets.write_triton(out, job.triton, made))
        said(f'model repository: {told["repository"]}')
    if job.web:
        told['page'] = str(write_web(out, job.web, made))
        said(f'page: {told["page"]}')
    if job.runner:
        told['runner'] = str(targets.write_runner(out))
        said(f'runner: {told["runner"]}')
    return told


def _require_layout(images: Sequence[np.ndarray], made: Metadata) -> None:
    """Raises ConfigError where images do not have the type of the input."""
    other = next((one.dtype for one in images if one.dtype != np.uint8), None)
    if other is not None and made.layout.startswith('uint8'):
        raise ConfigError(
            f'--input {made.layout} takes 8-bit images, and the test pipeline of the config loads '
            f'{other}: give --input float-nchw'
        )


def _of_windows(
    model: nn.Module, options: GraphOptions, said: Callable[[str], None]
) -> GraphOptions:
    """Logits for a model that predicts by windows: the program that runs the file joins them."""
    if not _predicts_by_windows(model):
        return options
    if options.output not in ('labels', 'logits') or options.scales != (1.0,) or options.flip:
        raise ConfigError(
            "this model predicts by windows (test_cfg.mode='slide'), whose logits are joined by "
            'what runs the file: leave --output, --scales and --flip out'
        )
    if options.output == 'labels':
        said('the model predicts by windows: the file gives logits, which are joined outside')
    return replace(options, output='logits')


def _predicts_by_windows(model: nn.Module) -> bool:
    return (getattr(model, 'test_cfg', None) or {}).get('mode') == 'slide'


def _quantized(
    job: ExportJob,
    part: Path,
    made: Metadata,
    calibration: Sequence[np.ndarray],
    compared: Callable[[ExportedModel], check.CheckResult],
    said: Callable[[str], None],
) -> tuple[check.CheckResult, list[str]]:
    """The file in 8 bits; layers that lose most are left out until it is good enough.

    Returns:
        what the comparison says, of no images with ``--check none``, and the layers left out.
    """
    left_out = list(job.leave_out)
    ranked: list[str] = []
    exact = part.with_name(f'.exact-{part.name}')
    _copy(part, exact)
    try:
        for attempt in range(ATTEMPTS):
            quantization.quantize(exact, calibration, made, left_out=left_out, target=part)
            result = compared(ExportedModel(part))
            if result.is_right('int8') or not result.images:
                break
            if part.suffix == '.xml':
                said(f'{result.sentence()}: NNCF looks for layers to leave in 32 bits')
                before = quantization.layers_in_8_bits(part)
                few = check.MOST_DIFFERING_BY_PRECISION['int8'] / 2
                quantization.quantize(
                    exact, calibration, made, left_out=left_out, target=part, most_differing=few
                )
                worst = sorted(before - quantization.layers_in_8_bits(part))
                said(f'left in 32 bits, {", ".join(worst) or "none"}')
                left_out += worst
                result = compared(ExportedModel(part))
                break
            if attempt == ATTEMPTS - 1:
                break
            if not ranked:  # of each layer alone, so once is enough
                ranked = quantization.ranked_layers(exact, part, calibration, made)
            count = max(1, len(ranked) // WORST, 2 * len(left_out))
            worst = [name for name in ranked if name not in left_out][:count]
            said(f'{result.sentence()}: left in 32 bits, {", ".join(worst)}')
            left_out += worst
        return result, left_out
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


def _make_engine(
    onnx: Path, engine: Path, made: Metadata, *, fp16: bool, said: Callable[[str], None]
) -> dict[str, Any]:
    """Builds a TensorRT engine where its tool is; elsewhere says the command.

    Returns:
        the engine, None where it was not built, and the command.

    Raises:
        ConfigError: the tool failed.
    """
    strange = targets.unknown_to_tensorrt(onnx)
    if strange:
        said(f'not on the list of operators that TensorRT reads: {", ".join(strange)}')
    command = targets.trtexec_command(onnx, engine, made) + (['--fp16'] if fp16 else [])
    if shutil.which('trtexec') is None:
        said(f'TensorRT is not here; on the machine with the GPU:\n  {shlex.join(command)}')
        return dict(engine=None, command=shlex.join(command))
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode or not engine.is_file():
        last = (done.stderr or done.stdout).strip().splitlines()[-1:] or ['no reason given']
        raise ConfigError(f'trtexec failed with status {done.returncode}: {last[0]}')
    said(f'{engine}: {engine.stat().st_size / 2**20:.1f} MB, of a file that was checked in 32 bits')
    return dict(engine=str(engine), command=shlex.join(command))


def _put_in_place(part: Path, out: Path) -> None:
    if out.suffix == '.xml':
        part.with_suffix('.bin').replace(out.with_suffix('.bin'))
    part.replace(out)
