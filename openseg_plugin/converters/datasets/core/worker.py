"""Converting one sample; runs in the main process or in a worker process."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from openseg_plugin.converters.datasets.core import images
from openseg_plugin.converters.datasets.core.plan import CopyTask, RenderTask, Sample
from openseg_plugin.errors import DataError, UserError
from openseg_plugin.utils import files
from openseg_plugin.utils.images import read_label


@dataclass(frozen=True)
class Job:
    """What is the same for all samples of a run.

    Attributes:
        dst: target folder.
        link_mode: ``'link'``, ``'copy'`` or ``'symlink'``.
        palette: 768 bytes for the label PNGs, or None for gray PNGs.
        check: compare with what is there instead of writing.
        overwrite: make every file anew, also those that are up to date.
    """

    dst: Path
    link_mode: str = 'link'
    palette: bytes | None = None
    check: bool = False
    overwrite: bool = False


@dataclass(frozen=True)
class SampleResult:
    """What became of one sample.

    Attributes:
        index: position of the sample in the plan.
        counts: pixels per label value, (256,) int64, or None without a label.
        kept: every file was there already.
        error: why the sample failed, or None.
        fatal: no other sample can succeed either.
    """

    index: int
    counts: np.ndarray | None = None
    kept: bool = False
    error: str | None = None
    fatal: bool = False


def process(job: Job, numbered: tuple[int, Sample]) -> SampleResult:
    """Converts (or checks) one sample; a mistake in the data is reported, not raised."""
    index, sample = numbered
    try:
        if sample.problem:
            raise DataError(sample.problem)
        if job.check:
            return SampleResult(index, counts=_check(sample, job), kept=True)
        counts, kept = _convert(sample, job)
        return SampleResult(index, counts=counts, kept=kept)
    except UserError as error:
        return SampleResult(index, error=str(error), fatal=isinstance(error, files.TargetError))
    except Exception as error:  # whatever a decoder does with a broken record or file
        return SampleResult(index, error=_unexpected(sample, error))


def _unexpected(sample: Sample, error: Exception) -> str:
    files_of = ' or '.join(str(path) for path in sample.sources) or sample.name
    if isinstance(error, MemoryError):
        return f'{sample.name}, made from {files_of}, does not fit into the memory'
    if isinstance(error, OSError):
        return f'{sample.name}: {error}'
    return (
        f'{sample.name} cannot be made from {files_of} ({type(error).__name__}: {error}): fix the '
        'file or exclude it'
    )


def is_up_to_date(sample: Sample, dst: Path) -> bool:
    """Whether all files of the sample are there and newer than what they were made from."""
    if sample.problem:
        return False
    try:
        return all(files.is_fresh(dst / d.to, sample.sources) for d in sample.draws) and all(
            files.is_fresh(dst / p.to, (p.src,)) for p in sample.places
        )
    except OSError:
        return False


def _convert(sample: Sample, job: Job) -> tuple[np.ndarray | None, bool]:
    sizes = {place.src: _size(place) for place in sample.places}
    maps = _draw(sample, job)
    label = next((values for draw, values, _ in maps if draw.kind == 'label'), None)
    _check_sizes(sample, sizes, maps)
    kept = True
    for place in sample.places:
        if job.overwrite or not files.is_fresh(job.dst / place.to, (place.src,)):
            if place.extract is None:
                files.place(place.src, job.dst, place.to, how=job.link_mode)
            else:
                files.write_below(job.dst, place.to, place.extract())
            kept = False
    # The label comes last: a folder of labels lists the samples that are complete.
    for draw, values, fresh in sorted(maps, key=lambda item: item[0].kind == 'label'):
        if not fresh:
            palette = job.palette if draw.kind == 'label' else None
            files.write_below(job.dst, draw.to, images.encode_png(values, palette))
            kept = False
    return None if label is None else images.count_values(label), kept


def _draw(sample: Sample, job: Job) -> list[tuple[RenderTask, np.ndarray, bool]]:
    """Every map of the sample, and whether it came from a finished file."""
    maps: list[tuple[RenderTask, np.ndarray, bool]] = []
    label: np.ndarray | None = None
    for draw in sample.draws:
        fresh = not job.overwrite and files.is_fresh(job.dst / draw.to, sample.sources)
        if fresh:
            values = read_label(job.dst / draw.to)
        else:
            values = draw.make(label) if draw.of_label else draw.make()
        if draw.kind == 'label' and label is None:
            label = values
        maps.append((draw, values, fresh))
    return maps


def _check(sample: Sample, job: Job) -> np.ndarray | None:
    """Compares the files of a sample with what the source gives now; writes nothing."""
    sizes = {place.src: _size(place, decode=True) for place in sample.places}
    for place in sample.places:
        target = job.dst / place.to
        if images.image_size(target, decode=True) != sizes[place.src]:
            raise DataError(f'{target} is not the image {place.src}: convert it again')
    label: np.ndarray | None = None
    maps = []
    for draw in sample.draws:
        values = draw.make(label) if draw.of_label else draw.make()
        if draw.kind == 'label' and label is None:
            label = values
        maps.append((draw, values, False))
        there = read_label(job.dst / draw.to)
        if there.shape != values.shape or (there != values).any():
            raise DataError(f'{job.dst / draw.to} differs from its source: convert it again')
    _check_sizes(sample, sizes, maps)
    return None if label is None else images.count_values(label)


def _size(place: CopyTask, *, decode: bool = False) -> tuple[int, int]:
    if place.extract is not None:
        return images.embedded_size(place.extract(), place.src)
    return images.image_size(place.src, decode=decode)


def _check_sizes(
    sample: Sample,
    sizes: dict[Path, tuple[int, int]],
    maps: list[tuple[RenderTask, np.ndarray, bool]],
) -> None:
    if not sample.same_size or not sizes:
        return
    image, (height, width) = next(iter(sizes.items()))
    for draw, values, _ in maps:
        if values.shape != (height, width):
            found = f'{values.shape[1]}x{values.shape[0]}'
            raise DataError(
                f'{image} is {width}x{height} pixels but its {draw.kind} is {found}: they do '
                f'not belong together{_turned(image, values)}'
            )


def _turned(image: Path, values: np.ndarray) -> str:
    """What to do where a label was drawn on an image as the camera's sensor saw it."""
    try:
        with Image.open(image) as opened:
            as_stored = values.shape == (opened.height, opened.width)
    except OSError:  # the image lies inside an annotation file
        return ''
    return ', or the camera turned the image (EXIF): save it upright first' if as_stored else ''
