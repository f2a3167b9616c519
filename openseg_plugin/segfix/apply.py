"""A folder of label maps and their offsets to a folder of refined label maps.

Object masks in the format of the Cityscapes instance benchmark, and their offsets, refined.

A list ``<stem>_pred.txt`` has one line ``mask.png labelId score`` per object; the mask lies
relative to the list and is nonzero inside the object. Refined masks hold 0 and 255; lists are
copied as they are, empty ones too.
"""

import dataclasses
from collections.abc import Sequence
from functools import reduce
from operator import add
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import numpy as np

from openseg_plugin.errors import DataError
from openseg_plugin.evaluation import F_THRESHOLDS
from openseg_plugin.evaluation.boundary import boundary_radius
from openseg_plugin.segfix import KINDS
from openseg_plugin.segfix.refine import refine_labels, refine_masks
from openseg_plugin.segfix.regions import check_kind, checked, class_table, inspect_labels
from openseg_plugin.segfix.scores import (
    CLASS_NAMES,
    CityscapesScores,
    MapScores,
    MaskScore,
    mask_metrics,
    match_object,
    metrics,
    official_metrics,
    score_map,
    score_mask,
    table,
)
from openseg_plugin.segfix.sources import Index, Offsets, files_below, label_files
from openseg_plugin.utils.batch import Output, raise_failures, refuse_input, run_all
from openseg_plugin.utils.images import label_bytes, read_label


@dataclasses.dataclass(frozen=True)
class ApplyOptions:
    """How labels are refined and scored.

    Attributes:
        kind: of the label maps, one of ``regions.KINDS``; None infers it from the values.
        num_classes: of train ids; anything else in a map is refused.
        void: further values that are void in the ground truth.
        scale: what offsets are multiplied with; the published settings are 2 for label maps and
            1 for object masks.
        sampling: one of ``refine.SAMPLINGS``.
        boundary: radius of the boundary F-score: pixels from 1 on, else fraction of the diagonal.
        workers: threads; None for one per core.
    """

    kind: str | None = None
    num_classes: int | None = None
    void: tuple[int, ...] = ()
    scale: float = 2
    sampling: str = 'gather'
    boundary: float = F_THRESHOLDS['openseg']
    workers: int | None = None

    def record(self, **inputs: Path) -> dict[str, object]:
        """What decides about the results, for ``batch.Output``."""
        places = {name: str(place.resolve()) for name, place in inputs.items()}
        return dict(scale=self.scale, sampling=self.sampling, **places)


class Scored(NamedTuple):
    """Scores of one map, or the sums over many, before and after.

    Attributes:
        maps: IoU and boundary F.
        official: the metrics of the Cityscapes benchmark; stay empty for other label maps.
    """

    maps: tuple[MapScores, MapScores]
    official: tuple[CityscapesScores, CityscapesScores]

    def plus(self, other: 'Scored') -> 'Scored':
        """Sums of both."""
        return Scored(
            *(tuple(map(add, ours, theirs)) for ours, theirs in zip(self, other, strict=True))
        )


class LabelRefiner:
    """Refines and scores the label maps of one folder, one call per file.

    Args:
        labels: folder of label maps.
        offsets: folder or zip of offsets, see ``sources.Offsets``.
        out: folder for the results.
        options: how.
        gt: folder of ground truth to score with.

    Raises:
        DataError: a folder cannot be used, or is not what it is said to be.
    """

    def __init__(
        self, labels: Path, offsets: Path, out: Path, *, options: ApplyOptions, gt: Path | None
    ) -> None:
        refuse_input(out, labels, offsets, gt)
        self.labels, self.gt, self.options = labels, gt, options
        self.files = label_files(labels, options.kind, without=out)
        self.offsets = Offsets(offsets)
        gts = label_files(gt, options.kind) if gt else []
        self._truths = _index(gt, gts)
        self._limits: dict[str, Any] = dict(num_classes=options.num_classes, void=options.void)
        self.kind = self._find_kind(gts)
        record = options.record(labels=labels, offsets=offsets)
        self.output = Output(out, dict(record, kind=self.kind))

    def __call__(self, path: Path) -> Scored | None:
        """Refines one label map where that is not done yet; its scores if there is ground truth."""
        sample = PurePosixPath(path.relative_to(self.labels).as_posix())
        to = sample.with_suffix('.png')
        done = self.output.is_done(to, [path, self.offsets.source(sample)])
        if done and not self.gt:
            return None
        label = checked(read_label(path), self.kind, path, **self._limits)
        if done:
            refined = read_label(self.output.folder / to)
        else:
            refined = refine_labels(
                label,
                self.offsets.of(sample, label.shape),
                scale=self.options.scale,
                kind=self.kind,
                sampling=self.options.sampling,
            )
            self.output.write(to, label_bytes(refined))
        return self._score(self.gt, label, refined, sample) if self.gt else None

    def _score(
        self, folder: Path, label: np.ndarray, refined: np.ndarray, sample: PurePosixPath
    ) -> Scored:
        path = folder / self._truths.find(sample)
        gt = checked(read_label(path), self.kind, path, **self._limits)
        if gt.shape != label.shape:
            raise DataError(
                f'{path} is {gt.shape[0]} x {gt.shape[1]} pixels, the labels {sample} are '
                f'{label.shape[0]} x {label.shape[1]} (rows x columns): give the ground truth of '
                'the same images at the same size'
            )
        official = CityscapesScores(), CityscapesScores()
        if self.kind == 'cityscapes':
            instances = _instances_beside(path)
            for scores, one in zip(official, (label, refined)):
                scores.add(one, gt, instances)
        gt = class_table(self.kind, void=self.options.void)[gt]
        radius = boundary_radius(self.options.boundary, gt.shape)
        to_train = class_table(self.kind)
        before, after = (score_map(to_train[one], gt, radius=radius) for one in (label, refined))
        return Scored((before, after), official)

    def _find_kind(self, gts: Sequence[Path]) -> str:
        """Kind of the maps, as given or inferred, after all folders were inspected."""
        inspected = {self.labels: inspect_labels(self.files)}
        if self.gt and gts:
            inspected[self.gt] = inspect_labels(gts)
        kinds = [self.options.kind, *(one.inferred_kind() for one in inspected.values())]
        kind = next(filter(None, kinds), None)
        if kind is None and gts:
            raise DataError(
                f'{self.labels} does not show by its values what its numbers mean: give --kind '
                f'{"|".join(KINDS)}'
            )
        kind = kind or 'train'  # nothing is scored, so nothing depends on what the numbers mean
        if kind == 'instance':
            raise DataError(
                f'{self.labels} holds instance ids; label maps hold classes: to refine masks '
                'give --instance and the folder of their *_pred.txt lists'
            )
        for place, one in inspected.items():
            check_kind(one, kind, place, **self._limits)
        return kind


def _index(folder: Path | None, files: Sequence[Path]) -> Index:
    """Ground truth files by their names below ``folder``; empty without one."""
    names = [path.relative_to(folder).as_posix() for path in files] if folder else []
    return Index(names, str(folder))


def apply_labels(
    labels: Path, offsets: Path, out: Path, *, options: ApplyOptions, gt: Path | None = None
) -> dict | None:
    """Refines a folder of label maps; the scores before and after where ground truth is given.

    Args:
        labels: folder of label maps, with subfolders.
        offsets: folder or zip of offsets, or folder inside a zip.
        out: folder for the results, with the same subfolders; the same command goes on where it
            was stopped.
        options: how.
        gt: folder of ground truth.

    Returns:
        Fractions of 1 in tables, {table: {row: {column: metric}}}: ``per_class`` (and the mean),
        and for Cityscapes label ids ``cityscapes``. None without ground truth.

    Raises:
        DataError: a folder is not what it is said to be, or some files cannot be used; the
            results of the others are kept.
    """
    refiner = LabelRefiner(labels, offsets, out, options=options, gt=gt)
    print(f'{labels}: {refiner.kind}, {KINDS[refiner.kind]}')
    results, failures = run_all(refiner, refiner.files, workers=options.workers, title='refined')
    print(f'{len(results)} label maps are refined, {len(failures)} failed: {out}')
    summary = None
    if gt and results:
        total = reduce(Scored.plus, results)
        names = CLASS_NAMES if refiner.kind == 'cityscapes' else ()
        summary = {'per_class': metrics(total.maps[0], total.maps[1], names)}
        if refiner.kind == 'cityscapes':
            summary['cityscapes'] = official_metrics(*total.official)
        print('\n'.join(map(table, summary.values())))
    raise_failures(failures, len(results), out)
    return summary


def _instances_beside(path: Path) -> np.ndarray | None:
    """Instance ids of a ground truth image of the public release, where they are."""
    instances = path.with_name(path.name.replace('_labelIds', '_instanceIds'))
    return read_label(instances) if instances != path and instances.is_file() else None


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


class MaskRefiner:
    """Refines and scores the masks of one folder of lists, one call per list.

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
        gts = label_files(gt, 'instance') if gt else []
        if gt and gts:
            check_kind(inspect_labels(gts), 'instance', gt)
        self._truths = _index(gt, gts)
        record = options.record(masks=masks, offsets=offsets)
        self.output = Output(out, dict(record, kind='masks'))

    def __call__(self, path: Path) -> list[tuple[MaskScore, MaskScore]]:
        """Refines the masks of one list where that is to be done; their scores before and after."""
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
                pairs = self._score(self.gt, before, after, listed, sample)
        if not all(done):
            self.output.write(sample, path.read_bytes())  # last: the list says its masks are there
        return pairs

    def _read(self, names: list[PurePosixPath]) -> np.ndarray:
        masks = [read_label(self.masks / name) > 0 for name in names]
        for name, mask in zip(names, masks):
            if mask.shape != masks[0].shape:
                raise DataError(
                    f'{self.masks / name} is {mask.shape}, the first mask of its list '
                    f'{masks[0].shape}: masks of one image have one size'
                )
        return np.stack(masks)

    def _score(
        self,
        folder: Path,
        before: np.ndarray,
        after: np.ndarray,
        listed: list[ListedMask],
        sample: PurePosixPath,
    ) -> list[tuple[MaskScore, MaskScore]]:
        """Scores against the object that each mask overlapped best before it was refined."""
        path = folder / self._truths.find(sample)
        instances = read_label(path)
        if instances.shape != before.shape[1:]:
            raise DataError(f'{path} is {instances.shape}, the masks are {before.shape[1:]}')
        radius = boundary_radius(self.options.boundary, instances.shape)
        pairs = []
        for first, second, mask in zip(before, after, listed):
            number = match_object(first, instances, mask.label_id)
            if number is not None:
                true = instances == number
                scores = (
                    score_mask(one, true, label_id=mask.label_id, radius=radius)
                    for one in (first, second)
                )
                pairs.append((next(scores), next(scores)))
        return pairs


def apply_masks(
    masks: Path, offsets: Path, out: Path, *, options: ApplyOptions, gt: Path | None = None
) -> dict | None:
    """Refines a folder of object masks; the scores before and after where ground truth is given.

    Args:
        masks: folder with ``*_pred.txt`` lists and their masks, with subfolders.
        offsets: folder or zip of offsets, or folder inside a zip.
        out: folder for the results; the same command goes on where it was stopped.
        options: how.
        gt: folder of instance id maps. Masks that overlap no object of their class do not count.

    Returns:
        ``per_class`` (and the mean), fractions of 1, {table: {row: {column: metric}}}. None
        without ground truth.

    Raises:
        DataError: a folder is not what it is said to be, or some lists cannot be used; the
            results of the others are kept.
    """
    refiner = MaskRefiner(masks, offsets, out, options=options, gt=gt)
    results, failures = run_all(refiner, refiner.files, workers=options.workers, title='refined')
    print(f'the masks of {len(results)} lists are refined, {len(failures)} failed: {out}')
    pairs = [pair for result in results for pair in result]
    summary = {'per_class': mask_metrics(pairs)} if pairs else None
    if summary:
        print(f'{len(pairs)} masks overlap an object of their class')
        print(table(summary['per_class']))
    raise_failures(failures, len(results), out)
    return summary
