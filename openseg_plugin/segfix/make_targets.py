"""A folder of label maps to a folder of SegFix training targets, ``.mat`` files as published."""

import dataclasses
from pathlib import Path, PurePosixPath

from openseg_plugin.errors import DataError
from openseg_plugin.segfix.batch import Output, raise_failures, refuse_input, run_all
from openseg_plugin.segfix.fields import distance_and_direction
from openseg_plugin.segfix.label_files import read_label
from openseg_plugin.segfix.look import check_kind, checked, look_at
from openseg_plugin.segfix.offset_files import target_bytes
from openseg_plugin.segfix.regions import KINDS, MIN_PIXELS
from openseg_plugin.segfix.sources import label_files


@dataclasses.dataclass(frozen=True)
class TargetOptions:
    """How targets are made.

    Attributes:
        kind: of the label maps, one of ``regions.KINDS``; None finds out by looking.
        num_classes: of train ids; anything else in a map is refused.
        void: further values that are void.
        metric: 'euclidean' or 'taxicab'.
        kernel_size: odd side of the gradient window in pixels.
        min_pixels: classes on fewer pixels of a picture are left out.
        workers: threads; None for one per core.
    """

    kind: str | None = None
    num_classes: int | None = None
    void: tuple[int, ...] = ()
    metric: str = 'euclidean'
    kernel_size: int = 5
    min_pixels: int = MIN_PIXELS
    workers: int | None = None


def make_targets(labels: Path, out: Path, options: TargetOptions) -> int:
    """Distance and direction map of every label map below ``labels``; their number.

    Raises:
        DataError: the folder is not what it is said to be, or some of its files cannot be used;
            the targets of the others are kept.
    """
    refuse_input(out, labels)
    files = label_files(labels, options.kind, without=out)
    look = look_at(files)
    kind = options.kind or look.seems()
    if kind is None:
        raise DataError(
            f'{labels} does not show by its values {look.values[:8]} what its numbers mean: give '
            f'--kind {"|".join(KINDS)}'
        )
    limits = dict(num_classes=options.num_classes, void=options.void)
    check_kind(look, kind, labels, **limits)
    record = dataclasses.asdict(options) | dict(kind=kind, labels=str(labels.resolve()))
    record.pop('workers')
    output = Output(out, dict(record, void=list(options.void)))

    def make(path: Path) -> bool:
        to = PurePosixPath(path.relative_to(labels).with_suffix('.mat').as_posix())
        if output.is_done(to, [path]):
            return False
        label = checked(read_label(path), kind, path, **limits)
        maps = distance_and_direction(
            label,
            kind,
            metric=options.metric,
            kernel_size=options.kernel_size,
            void=options.void,
            min_pixels=options.min_pixels,
        )
        output.write(to, target_bytes(*maps))
        return True

    made, failures = run_all(make, files, workers=options.workers, title='targets')
    print(f'{labels}: {kind}, {KINDS[kind]}')
    print(f'{sum(made)} made, {len(made) - sum(made)} were there, {len(failures)} failed: {out}')
    raise_failures(failures, len(made), out)
    return len(made)
