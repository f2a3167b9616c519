"""Metrics before and after SegFix: predictions are refined between two sets of metrics.

How well a SegFix network finds boundaries and directions, over a dataset.

Every image leaves five integers, so processes add up exactly and mmengine drops the images
that a distributed sampler repeats to fill the last batch.
"""

from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import torch
from mmengine.evaluator import BaseMetric, Evaluator
from mmengine.logging import MMLogger, print_log
from mmengine.structures import BaseDataElement, PixelData

from openseg_plugin.errors import DataError
from openseg_plugin.layers.direction_field import (
    BOUNDARY_METRICS,
    boundary_counts,
    boundary_metrics,
)
from openseg_plugin.registry import EVALUATORS, METRICS
from openseg_plugin.segfix.network import OffsetNetwork
from openseg_plugin.segfix.refine import refine_labels
from openseg_plugin.segfix.sources import Offsets

BEFORE = '_before'


@EVALUATORS.register_module()
class SegFixEvaluator(Evaluator):
    """Refines ``pred_sem_seg`` of every sample; what it was is ``pred_before_segfix`` from then on.

    Works on any model's predictions, also those of test-time augmentation. Hooks that come after
    the evaluation (images) see the refined predictions.

    Args:
        metrics: metrics of the refined predictions.
        before: metrics of the predictions as they were; their names end with ``_before``.
        offsets: folder or zip of offset files, see :class:`openseg_plugin.segfix.sources.Offsets`.
        network: instead of it, ``dict(config=..., checkpoint=...)`` of a SegFix network that
            predicts them on the fly.
        scale: what offsets are multiplied with, an integer.

    Raises:
        DataError: there are no offsets.
    """

    def __init__(
        self,
        metrics: Sequence,
        *,
        before: Sequence,
        offsets: str | None = None,
        network: dict | None = None,
        scale: int = 2,
    ) -> None:
        super().__init__(metrics)
        self.before = Evaluator(before)
        self.scale = scale
        self.files = Offsets(Path(offsets)) if offsets is not None else None
        self.network = None if network is None else OffsetNetwork(**network)

    @property
    def dataset_meta(self) -> dict | None:
        """Metainfo of the dataset, which all metrics get."""
        return self._dataset_meta

    @dataset_meta.setter
    def dataset_meta(self, dataset_meta: dict) -> None:
        self._dataset_meta = dataset_meta
        for metric in [*self.metrics, *self.before.metrics]:
            metric.dataset_meta = dataset_meta

    def check(self, paths: Sequence[str]) -> None:
        """Makes sure that all images have offsets, before any is predicted.

        Raises:
            DataError: says how many have none, and names the first.
        """
        if self.files is None:
            return
        problems = []
        for path in paths:
            try:
                self.files.source(PurePosixPath(path))
            except DataError as error:
                problems.append(str(error))
        if problems:
            raise DataError(
                f'{len(problems)} of {len(paths)} images cannot be refined: {problems[0]}'
            )

    def process(
        self, data_samples: Sequence[BaseDataElement], data_batch: Any | None = None
    ) -> None:
        """Both sets of metrics see the predictions of a batch, which are refined in between."""
        self.before.process(data_samples, data_batch)
        for sample in data_samples:
            self.refine(sample)
        super().process(data_samples, data_batch)

    def refine(self, sample: BaseDataElement) -> None:
        """Refines ``pred_sem_seg``; what it was becomes ``pred_before_segfix``."""
        labels = sample.pred_sem_seg.data
        path = sample.metainfo['img_path']
        offsets = torch.from_numpy(self._offsets(path, tuple(labels.shape[-2:])))
        refined = refine_labels(labels, offsets[None].to(labels.device), scale=self.scale)
        sample.set_data(
            {
                'pred_before_segfix': PixelData(data=labels),
                'pred_sem_seg': PixelData(data=refined),
            }
        )

    def _offsets(self, path: str, size: tuple[int, int]) -> np.ndarray:
        """Offsets (H, W, 2) int8 of an image.

        Raises:
            DataError: they are unusable or of another size than the prediction.
        """
        if self.files is not None:
            return self.files.of(PurePosixPath(path), size)
        assert self.network is not None, 'offsets come from files or from a network'
        (offsets,) = self.network.offsets([self.network.load(Path(path))])
        if offsets.shape[:2] != size:
            raise DataError(
                f'{path} is {offsets.shape[0]} x {offsets.shape[1]} pixels, its prediction '
                f'{size[0]} x {size[1]} (rows x columns): both must have one size'
            )
        return offsets

    def evaluate(self, size: int) -> dict[str, float]:
        """Metrics of both, those before with ``_before`` at the end of their names."""
        before = self.before.evaluate(size)
        metrics = super().evaluate(size)
        return {f'{name}{BEFORE}': value for name, value in before.items()} | metrics


_FIELDS = ('pred_boundary', 'pred_direction', 'gt_boundary', 'gt_direction')


@METRICS.register_module()
class SegFixMetric(BaseMetric):
    """Precision, recall and F-score of boundary pixels, accuracy of directions, in percent.

    ``boundary_f``, ``boundary_precision``, ``boundary_recall``; ``direction``: right directions on
    the boundary of the ground truth; ``direction_predicted``: on the predicted boundary, whose
    pixels will be moved.

    Args:
        ignore_index: value of targets that is left out.
        collect_device: how processes exchange their records: 'gpu' by messages (also without a
            GPU), 'cpu' by files in the current folder, which all machines have to share.
        prefix: put before the names of the metrics.
    """

    default_prefix = ''

    def __init__(
        self, ignore_index: int = 255, collect_device: str = 'gpu', prefix: str | None = None
    ) -> None:
        super().__init__(collect_device=collect_device, prefix=prefix)
        self.ignore_index = ignore_index

    def process(self, data_batch: dict, data_samples: Sequence[dict]) -> None:
        """One record per image: (5,) counts, None without targets."""
        for sample in data_samples:
            record = None
            if 'gt_boundary' in sample:
                maps = (sample[name]['data'].cpu() for name in _FIELDS)
                record = boundary_counts(*maps, ignore_index=self.ignore_index).numpy()
            self.results.append((record,))

    def compute_metrics(self, results: list) -> dict[str, float]:
        """Metrics in percent of the records of all processes."""
        records = [torch.from_numpy(record) for (record,) in results if record is not None]
        if not records:
            logger = MMLogger.get_current_instance()
            print_log(f'{len(results)} images, none has targets: no metrics', logger)
            return {}
        metrics = 100 * boundary_metrics(torch.stack(records).sum(dim=0))
        return {name: round(float(value), 2) for name, value in zip(BOUNDARY_METRICS, metrics)}
