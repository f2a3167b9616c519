"""Object masks in the format of the Cityscapes instance benchmark, and their offsets, mended.

A list ``<stem>_pred.txt`` has one line ``mask.png labelId score`` per object; the mask lies
relative to the list and is nonzero inside the object. Mended masks hold 0 and 255; lists are
copied as they are, empty ones too.
"""

from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np

from openseg_plugin.errors import DataError
from openseg_plugin.evaluation.boundary import boundary_radius
from openseg_plugin.segfix.apply import ApplyOptions
from openseg_plugin.segfix.label_kind import check_kind, look_at
from openseg_plugin.segfix.refine import refine_masks
from openseg_plugin.segfix.scores import MaskScore, mask_figures, match_object, score_mask, table
from openseg_plugin.segfix.sources import Index, Offsets, files_below, label_files
from openseg_plugin.utils.batch import Output, raise_failures, refuse_input, run_all
from openseg_plugin.utils.labels import label_bytes, read_label

_LIST_END = '_pred.txt'


class ListedMask(NamedTuple):
    """One line of a list: the mask's path as written there, and the class of the object."""

    path: PurePosixPath
    label_id: int


def read_list(path: Path) -> list[ListedMask]:
    """Objects of a ``_pred.txt``.

    Raises:
        DataError: a line of another form, or a mask outside of the list's folder.
    """
    masks = []
    for number, line in enumerate(path.read_text(encoding='utf-8').splitlines(), start=1):
        if not line.strip():
            continue
        try:
            name, label_id, score = line.rsplit(maxsplit=2)
            mask = ListedMask(PurePosixPath(name), int(label_id))
            float(score)
        except ValueError as error:
            raise DataError(
                f'{path}, line {number}: "{line}" is not "mask.png labelId score"'
            ) from error
        if mask.path.is_absolute() or '..' in mask.path.parts:
            raise DataError(
                f'{path}, line {number}: {name} lies outside of the folder of the list: put the '
                'masks beside or below it'
            )
        masks.append(mask)
    return masks


class MaskMender:
    """Mends and scores the masks of one folder of lists, one call per list.

    Args:
        masks: folder with ``*_pred.txt`` lists and their masks.
        offsets: folder or zip of offsets, see ``sources.Offsets``.
        out: folder for the results.
        options: how.
        gt: folder of instance id maps to score with.

    Raises:
        DataError: a folder cannot be used, or is not what it is said to be.
    """

    def __init__(
        self, masks: Path, offsets: Path, out: Path, *, options: ApplyOptions, gt: Path | None
    ) -> None:
        refuse_input(out, masks, offsets, gt)
        self.masks, self.gt, self.options = masks, gt, options
        found = files_below(masks, ('.txt',), without=out)
        self.files = [path for path in found if path.name.endswith(_LIST_END)]
        if not self.files:
            raise DataError(f'{masks} has no *{_LIST_END} lists of object masks')
        self.offsets = Offsets(offsets)
        truths = label_files(gt, 'instance') if gt else []
        if truths:
            check_kind(look_at(truths), 'instance', gt)
        self._truths = Index((path.relative_to(gt).as_posix() for path in truths), str(gt))
        record = options.record(masks=masks, offsets=offsets)
        self.output = Output(out, dict(record, kind='masks'))

    def __call__(self, path: Path) -> list[tuple[MaskScore, MaskScore]]:
        """Mends the masks of one list where that is not done yet; their scores before and after."""
        sample = PurePosixPath(path.relative_to(self.masks).as_posix())
        listed = read_list(path)
        names = [sample.parent / mask.path for mask in listed]
        sources = [path, *(self.masks / name for name in names)]
        for source in sources:
            if not source.is_file():
                raise DataError(f'{source}, named in {path}, is missing')
        if listed:
            sources.append(self.offsets.source(sample))
        done = [self.output.is_done(name, sources) for name in (sample, *names)]
        pairs = []
        if listed and (self.gt or not all(done)):
            before = self._read(names)
            offsets = self.offsets.of(sample, before.shape[1:])
            scale, sampling = self.options.scale, self.options.sampling
            after = refine_masks(before, offsets, scale=scale, sampling=sampling)
            for name, mask in zip(names, after):
                self.output.write(name, label_bytes(mask.astype(np.uint8) * 255))
            if self.gt:
                pairs = self._score(before, after, listed, sample)
        if not all(done):
            self.output.write(sample, path.read_bytes())  # last: the list says its masks are there
        return pairs

    def _read(self, names: list[PurePosixPath]) -> np.ndarray:
        masks = [read_label(self.masks / name) > 0 for name in names]
        for name, mask in zip(names, masks):
            if mask.shape != masks[0].shape:
                raise DataError(
                    f'{self.masks / name} is {mask.shape}, the first mask of its list '
                    f'{masks[0].shape}: masks of one picture have one size'
                )
        return np.stack(masks)

    def _score(
        self,
        before: np.ndarray,
        after: np.ndarray,
        listed: list[ListedMask],
        sample: PurePosixPath,
    ) -> list[tuple[MaskScore, MaskScore]]:
        """Scores against the object that each mask overlapped best before it was mended."""
        path = self.gt / self._truths.find(sample)
        instances = read_label(path)
        if instances.shape != before.shape[1:]:
            raise DataError(f'{path} is {instances.shape}, the masks are {before.shape[1:]}')
        radius = boundary_radius(self.options.boundary, instances.shape)
        pairs = []
        for first, second, mask in zip(before, after, listed):
            number = match_object(first, instances, mask.label_id)
            if number is not None:
                true = instances == number
                pairs.append(
                    tuple(
                        score_mask(one, true, label_id=mask.label_id, radius=radius)
                        for one in (first, second)
                    )
                )
        return pairs


def apply_masks(
    masks: Path, offsets: Path, out: Path, *, options: ApplyOptions, gt: Path | None = None
) -> dict | None:
    """Mends a folder of object masks; the scores before and after where ground truth is given.

    Args:
        masks: folder with ``*_pred.txt`` lists and their masks, with subfolders.
        offsets: folder or zip of offsets, or folder inside a zip.
        out: folder for the results; the same command goes on where it was stopped.
        options: how.
        gt: folder of instance id maps. Masks that overlap no object of their class do not count.

    Returns:
        ``per_class`` (and the mean), fractions of 1, {table: {row: {column: figure}}}. None
        without ground truth.

    Raises:
        DataError: a folder is not what it is said to be, or some lists cannot be used; the
            results of the others are kept.
    """
    mender = MaskMender(masks, offsets, out, options=options, gt=gt)
    results, failures = run_all(mender, mender.files, workers=options.workers, title='mended')
    print(f'the masks of {len(results)} lists are mended, {len(failures)} failed: {out}')
    pairs = [pair for result in results for pair in result]
    summary = {'per_class': mask_figures(pairs)} if pairs else None
    if summary:
        print(f'{len(pairs)} masks overlap an object of their class')
        print(table(summary['per_class']))
    raise_failures(failures, len(results), out)
    return summary
