"""Metrics of edges for any config: boundary F-score, boundary IoU and trimap IoU over a dataset.

Every image leaves one small record, so nothing but sums is kept, and mmengine drops the
images that a distributed sampler repeats to fill the last batch. The metrics do not depend on
the number of processes: integers are added, and scores with an exact sum.

H, W: size of an image in pixels; K classes.
"""

import math
from collections.abc import Sequence

import numpy as np
from mmengine.evaluator import BaseMetric
from mmengine.logging import MMLogger, print_log
from torch import Tensor

from openseg_plugin.errors import ConfigError
from openseg_plugin.evaluation import F_THRESHOLDS
from openseg_plugin.evaluation.boundary import (
    boundary_areas,
    boundary_f_scores,
    boundary_radius,
    boundary_width,
    trimap_areas,
)
from openseg_plugin.evaluation.iou_metric import class_table
from openseg_plugin.registry import METRICS


class _EdgeMetric(BaseMetric):
    """A record per image, a metric per class, their means in percent.

    Args:
        ignore_index: label value that is left out.
        collect_device: 'cpu' or 'gpu', how processes exchange their records.
        prefix: put before the names of the metrics.
    """

    default_prefix = ''

    def __init__(self, ignore_index: int, collect_device: str, prefix: str | None) -> None:
        super().__init__(collect_device=collect_device, prefix=prefix)
        self.ignore_index = ignore_index

    def process(self, data_batch: dict, data_samples: Sequence[dict]) -> None:
        """One record per image, None without a label."""
        for sample in data_samples:
            record = None
            if 'gt_sem_seg' in sample:
                maps = (_map_of(sample[key]['data']) for key in ('pred_sem_seg', 'gt_sem_seg'))
                record = self._record(*maps, num_classes=len(self.dataset_meta['classes']))
            self.results.append((record,))

    def compute_metrics(self, results: list) -> dict[str, float]:
        """Means over the classes, in percent."""
        logger = MMLogger.get_current_instance()
        records = [record for (record,) in results if record is not None]
        if not records:
            print_log(f'{len(results)} images, none has a label: no metrics', logger)
            return {}
        metrics = self._metrics(np.stack(records))
        percent = {name: np.round(100 * values, 2) for name, values in metrics.items()}
        table = class_table(self.dataset_meta['classes'], percent)
        print_log(f'per class results of {type(self).__name__}:\n{table}', logger)
        return {f'm{name}': _mean_percent(values) for name, values in metrics.items()}

    def _record(self, prediction: np.ndarray, label: np.ndarray, *, num_classes: int) -> np.ndarray:
        """What one image, two (H, W) maps of class numbers, contributes."""
        raise NotImplementedError

    def _metrics(self, records: np.ndarray) -> dict[str, np.ndarray]:
        """(K,) fractions by name, of the records (images, ...)."""
        raise NotImplementedError


@METRICS.register_module()
class BoundaryF(_EdgeMetric):
    """Boundary F-score ``mBF``: mean over images, then over classes.

    A class whose edge is in neither prediction nor label of an image counts as 1 there, as in
    both published versions, so rare classes score high.

    Args:
        definition: 'openseg' or 'nvidia': whose default radius, 0.00088 or 0.008 of the diagonal.
        thresholds: radii instead, each in pixels from 1 on, below it as a fraction of the image's
            diagonal; several give ``mBF@<threshold>`` each.
        ignore_index: label value that is left out.
        collect_device: 'cpu' or 'gpu', how processes exchange their records.
        prefix: put before the names of the metrics.

    Raises:
        ConfigError: an unknown definition, or a threshold that is not above 0.
    """

    def __init__(
        self,
        definition: str = 'openseg',
        thresholds: float | Sequence[float] | None = None,
        ignore_index: int = 255,
        collect_device: str = 'cpu',
        prefix: str | None = None,
    ) -> None:
        super().__init__(ignore_index, collect_device, prefix)
        if definition not in F_THRESHOLDS:
            raise ConfigError(f'definition={definition!r}: one of {list(F_THRESHOLDS)} is needed')
        if thresholds is None:
            thresholds = F_THRESHOLDS[definition]
        several = isinstance(thresholds, Sequence)
        self.thresholds = tuple(thresholds) if isinstance(thresholds, Sequence) else (thresholds,)
        if not self.thresholds or min(self.thresholds) <= 0:
            raise ConfigError(f'thresholds={thresholds}: one or more numbers above 0 are needed')
        self.names = [f'BF@{threshold:g}' if several else 'BF' for threshold in self.thresholds]

    def _record(self, prediction: np.ndarray, label: np.ndarray, *, num_classes: int) -> np.ndarray:
        scores = [
            boundary_f_scores(
                prediction,
                label,
                num_classes,
                radius=boundary_radius(threshold, label.shape),
                ignore_index=self.ignore_index,
            )[:, 2]
            for threshold in self.thresholds
        ]
        return np.stack(scores)

    def _metrics(self, records: np.ndarray) -> dict[str, np.ndarray]:
        # fsum is exact, so the order in which processes saw the images cannot show
        sums = np.apply_along_axis(math.fsum, 0, records)
        return dict(zip(self.names, sums / len(records)))


@METRICS.register_module()
class BoundaryIoU(_EdgeMetric):
    """Boundary IoU ``mBIoU``: IoU of the bands inside the edges, areas added over the images.

    Args:
        dilation_ratio: width of the band as a fraction of the image's diagonal (paper: 0.02).
        ignore_index: label value that is left out.
        collect_device: 'cpu' or 'gpu', how processes exchange their records.
        prefix: put before the names of the metrics.

    Raises:
        ConfigError: ``dilation_ratio`` is not above 0.
    """

    def __init__(
        self,
        dilation_ratio: float = 0.02,
        ignore_index: int = 255,
        collect_device: str = 'cpu',
        prefix: str | None = None,
    ) -> None:
        super().__init__(ignore_index, collect_device, prefix)
        if dilation_ratio <= 0:
            raise ConfigError(f'dilation_ratio={dilation_ratio}: a number above 0 is needed')
        self.dilation_ratio = dilation_ratio

    def _record(self, prediction: np.ndarray, label: np.ndarray, *, num_classes: int) -> np.ndarray:
        width = boundary_width(self.dilation_ratio, label.shape)
        return boundary_areas(
            prediction, label, num_classes, width=width, ignore_index=self.ignore_index
        )

    def _metrics(self, records: np.ndarray) -> dict[str, np.ndarray]:
        return {'BIoU': _fraction(*records.sum(axis=0))}


@METRICS.register_module()
class TrimapIoU(_EdgeMetric):
    """Trimap IoU ``mTIoU@<width>``: IoU among the pixels near an edge of the label.

    Args:
        widths: distances from the edge in pixels; 1 takes the pixels at both sides of it.
        ignore_index: label value that is left out.
        collect_device: 'cpu' or 'gpu', how processes exchange their records.
        prefix: put before the names of the metrics.

    Raises:
        ConfigError: a width is below 1.
    """

    def __init__(
        self,
        widths: Sequence[int] = (1, 3, 5, 10),
        ignore_index: int = 255,
        collect_device: str = 'cpu',
        prefix: str | None = None,
    ) -> None:
        super().__init__(ignore_index, collect_device, prefix)
        if not widths or min(widths) < 1:
            raise ConfigError(f'widths={widths}: one or more numbers of at least 1 are needed')
        self.widths = tuple(widths)

    def _record(self, prediction: np.ndarray, label: np.ndarray, *, num_classes: int) -> np.ndarray:
        areas = [
            trimap_areas(
                prediction, label, num_classes, width=width, ignore_index=self.ignore_index
            )
            for width in self.widths
        ]
        return np.stack(areas)

    def _metrics(self, records: np.ndarray) -> dict[str, np.ndarray]:
        areas = records.sum(axis=0)  # (widths, 2, K)
        return {f'TIoU@{width:g}': _fraction(*one) for width, one in zip(self.widths, areas)}


def _map_of(data: Tensor) -> np.ndarray:
    """(1, H, W) or (H, W) class numbers as array (H, W)."""
    return data.reshape(data.shape[-2:]).cpu().numpy()


def _fraction(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """part / whole, nan where there is nothing."""
    return np.divide(part, whole, out=np.full(part.shape, np.nan), where=whole > 0)


def _mean_percent(values: np.ndarray) -> float:
    """Mean over the classes that occur, nan where none does."""
    known = values[~np.isnan(values)]
    return 100 * float(known.mean()) if known.size else float('nan')
