"""Scores of pixels over a dataset: mIoU and its relatives, pixAcc; label maps written to a folder.

``IoUMetric`` counts as mmseg does, from integer counts. Every image leaves one record, so that
mmengine drops the images that a distributed sampler repeats to fill the last batch.

``PixAccMetric`` counts as pytorch-cv and other children of GluonCV do. Its pixAcc takes the class
of the largest score *after cutting the scores to whole numbers*, the first class where several are
equal; in its mIoU a class that occurs neither in prediction nor label counts as 0.
"""

import csv
import io
import json
import math
import os
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from mmengine.evaluator import BaseMetric
from mmengine.logging import MMLogger, print_log
from rich import box
from rich.console import Console
from rich.table import Table
from torch import Tensor

from openseg_plugin.errors import ConfigError, DataError
from openseg_plugin.evaluation.confusion import class_areas, class_metrics, confusion_matrix
from openseg_plugin.registry import METRICS
from openseg_plugin.utils.images import OutputNames, value_table, write_label_map
from openseg_plugin.utils.palette import distinct_names

_WIDE = 10_000  # columns of text; a log breaks no lines


def class_table(classes: Sequence[str], metrics: Mapping[str, np.ndarray]) -> str:
    """Text table with one row per class.

    Args:
        classes: K names.
        metrics: column name -> (K,) values; scalars have no column.
    """
    columns = {name: values for name, values in metrics.items() if np.ndim(values)}
    table = Table('Class', box=box.ASCII)
    for name in columns:
        table.add_column(name, justify='right')
    for name, *row in zip(distinct_names(classes), *columns.values(), strict=True):
        table.add_row(name, *map(str, row))
    # it goes to a log, so as wide as it is; a name is no markup
    console = Console(file=io.StringIO(), width=_WIDE, color_system=None, markup=False, emoji=False)
    with console.capture() as text:
        console.print(table)
    return text.get().rstrip('\n')


def write_report(
    folder: str,
    classes: Sequence[str],
    *,
    metrics: Mapping[str, np.ndarray],
    means: Mapping[str, float],
) -> None:
    """``per_class.csv`` and ``metrics.json`` (means and classes, null for NaN) in ``folder``.

    Args:
        folder: made if it is not there.
        classes: K names.
        metrics: name -> (K,) values; scalars are left out.
        means: name -> value.
    """
    os.makedirs(folder, exist_ok=True)
    columns = {name: values for name, values in metrics.items() if np.ndim(values)}
    rows = [
        {'Class': name, **{key: _plain(values[i]) for key, values in columns.items()}}
        for i, name in enumerate(distinct_names(classes))
    ]
    with open(os.path.join(folder, 'per_class.csv'), 'w', newline='', encoding='utf-8') as file:
        writer = csv.DictWriter(file, ['Class', *columns], lineterminator='\n')
        writer.writeheader()
        writer.writerows(rows)
    content = {'means': {name: _plain(value) for name, value in means.items()}, 'classes': rows}
    with open(os.path.join(folder, 'metrics.json'), 'w', encoding='utf-8') as file:
        json.dump(content, file, indent=1)
        file.write('\n')


def _plain(value: float) -> float | None:
    value = float(value)
    return None if math.isnan(value) else round(value, 4)


IOU_METRICS = ('mIoU', 'mDice', 'mFscore')


@METRICS.register_module()
class IoUMetric(BaseMetric):
    """Mean IoU, accuracy, Dice and F-score in percent; per-class table; predictions as PNG.

    Args:
        ignore_index: label value that is left out.
        iou_metrics: 'mIoU', 'mDice', 'mFscore' or several of them.
        nan_to_num: stands in for the metrics of classes that do not occur; None leaves them out
            of the means.
        beta: weight of recall in the F-score.
        collect_device: how processes exchange their records: 'gpu' by messages (also without a
            GPU), 'cpu' by files in the current folder, which all machines have to share.
        output_dir: folder for the label maps, one PNG per image with the image's stem. The tools
            set ``output_names``, so that sub-folders stay; two images of one name are refused.
        format_only: write the label maps and evaluate nothing.
        use_label_ids: write the ``label_ids`` of the dataset's metainfo (Cityscapes' server wants
            those) instead of class ids (plus one where the dataset has ``reduce_zero_label``).
        report_dir: folder for ``per_class.csv`` and ``metrics.json``.
        prefix: put before the names of the metrics.
        keep_results: accepted for mmseg's test script; label maps always stay.

    Raises:
        ConfigError: unknown ``iou_metrics``, or ``format_only`` without ``output_dir``.
    """

    default_prefix = ''

    def __init__(
        self,
        ignore_index: int = 255,
        iou_metrics: str | Sequence[str] = ('mIoU',),
        nan_to_num: float | None = None,
        beta: float = 1,
        collect_device: str = 'gpu',
        output_dir: str | None = None,
        format_only: bool = False,
        use_label_ids: bool = False,
        report_dir: str | None = None,
        prefix: str | None = None,
        keep_results: bool = True,
    ) -> None:
        super().__init__(collect_device=collect_device, prefix=prefix)
        names = (iou_metrics,) if isinstance(iou_metrics, str) else tuple(iou_metrics)
        unknown = [name for name in names if name not in IOU_METRICS]
        if unknown or not names:
            raise ConfigError(f'iou_metrics names {unknown}: choose from {", ".join(IOU_METRICS)}')
        if format_only and output_dir is None:
            raise ConfigError('format_only writes label maps: say where with output_dir (--out)')
        self.names = names
        self.ignore_index = ignore_index
        self.nan_to_num = nan_to_num
        self.beta = beta
        self.output_dir = output_dir
        self.output_names = OutputNames()
        self.format_only = format_only
        self.use_label_ids = use_label_ids
        self.report_dir = report_dir

    def process(self, data_batch: dict, data_samples: Sequence[dict]) -> None:
        """One record per image: (3, K) areas, or None without a label or when only formatting."""
        for sample in data_samples:
            prediction = sample['pred_sem_seg']['data']
            prediction = prediction.reshape(prediction.shape[-2:])
            record = None
            if not self.format_only and 'gt_sem_seg' in sample:
                record = self._areas(prediction, sample)
            self.results.append((record,))
            if self.output_dir is not None:
                self._write(prediction, sample)

    def _areas(self, prediction: Tensor, sample: dict) -> np.ndarray:
        label = sample['gt_sem_seg']['data']
        label = label.reshape(label.shape[-2:])
        try:
            matrix = confusion_matrix(
                prediction,
                label,
                num_classes=len(self.dataset_meta['classes']),
                ignore_index=self.ignore_index,
            )
        except DataError as error:
            file = sample.get('seg_map_path') or sample.get('img_path')
            raise DataError(f'{file}: {error}') from error
        return class_areas(matrix)

    def _write(self, prediction: Tensor, sample: dict) -> None:
        label_ids = None
        if self.use_label_ids:
            label_ids = self.dataset_meta.get('label_ids')
            if label_ids is None:
                raise ConfigError('the dataset names no label ids: leave use_label_ids out')
        table = value_table(
            len(self.dataset_meta['classes']),
            label_ids=label_ids,
            shift=int(bool(sample.get('reduce_zero_label', False))),
        )
        assert self.output_dir is not None, 'asked for'
        name = self.output_names.of(sample['img_path'])
        write_label_map(
            os.path.join(self.output_dir, f'{name}.png'),
            prediction.cpu().numpy(),
            table=table,
            palette=self.dataset_meta.get('palette'),
        )

    def compute_metrics(self, results: list) -> dict[str, float]:
        """Metrics in percent, rounded to two decimals, of the records of all processes."""
        logger = MMLogger.get_current_instance()
        if self.output_dir is not None:
            print_log(f'label maps are in {self.output_dir}', logger)
        records = [record for (record,) in results if record is not None]
        if not records:
            if not self.format_only:
                print_log(f'{len(results)} images, none has a label: no metrics', logger)
            return {}
        metrics = class_metrics(np.sum(records, axis=0), names=self.names, beta=self.beta)
        if self.nan_to_num is not None:
            metrics = {k: np.nan_to_num(v, nan=self.nan_to_num) for k, v in metrics.items()}
        percent = {name: np.round(value * 100, 2) for name, value in metrics.items()}
        means = {
            name if name == 'aAcc' else f'm{name}': mean_percent(value)
            for name, value in metrics.items()
        }
        classes = self.dataset_meta['classes']
        print_log('per class results:\n' + class_table(classes, percent), logger)
        if self.report_dir is not None:
            write_report(self.report_dir, classes, metrics=percent, means=means)
            print_log(f'metrics are in {self.report_dir}', logger)
        return means


def mean_percent(values: np.ndarray) -> float:
    """Mean of the values that are not NaN, in percent with two decimals; NaN if there are none."""
    values = np.atleast_1d(values)
    known = values[~np.isnan(values)]
    return float(np.round(known.mean() * 100, 2)) if len(known) else float('nan')


@METRICS.register_module()
class PixAccMetric(BaseMetric):
    """``pixAcc`` and ``mIoU`` in percent, two decimals.

    Args:
        ignore_index: label value that is left out.
        truncate_scores: count pixAcc as pytorch-cv did, from the scores of a single-scale test.
            False: the ordinary fraction of pixels that are right.
        collect_device: how processes exchange their records; see ``IoUMetric``.
        prefix: put before the names of the metrics.
    """

    default_prefix = ''

    def __init__(
        self,
        *,
        ignore_index: int = 255,
        truncate_scores: bool = False,
        collect_device: str = 'gpu',
        prefix: str | None = None,
    ) -> None:
        super().__init__(collect_device=collect_device, prefix=prefix)
        self.ignore_index = ignore_index
        self.truncate_scores = truncate_scores

    def process(self, data_batch: dict, data_samples: Sequence[dict]) -> None:
        """One record per image: (3, K) areas and the number of pixels that are right.

        Raises:
            ConfigError: ``truncate_scores`` without scores.
        """
        classes = len(self.dataset_meta['classes'])
        for sample in data_samples:
            label = sample['gt_sem_seg']['data'].squeeze(0)
            prediction = sample['pred_sem_seg']['data'].squeeze(0).to(label.device)
            matrix = confusion_matrix(
                prediction, label, num_classes=classes, ignore_index=self.ignore_index
            )
            correct = int(matrix.diagonal().sum())
            if self.truncate_scores:
                if 'seg_logits' not in sample:
                    raise ConfigError(
                        'PixAccMetric(truncate_scores=True) needs seg_logits, which this model '
                        'does not predict: use a segmentor of openseg_plugin, or '
                        'truncate_scores=False'
                    )
                scores = sample['seg_logits']['data'].to(label.device)
                correct = count_correct(scores, label, ignore_index=self.ignore_index)
            self.results.append((class_areas(matrix), correct))

    def compute_metrics(self, results: list) -> dict[str, float]:
        """Metrics of the records of all processes."""
        areas = np.sum([areas for areas, _ in results], axis=0)
        correct = sum(correct for _, correct in results)
        metrics = pix_acc_and_miou(areas, correct)
        return {name: round(100 * value, 2) for name, value in metrics.items()}


def count_correct(scores: torch.Tensor, label: torch.Tensor, *, ignore_index: int) -> int:
    """Labelled pixels whose largest score, cut to a whole number, is that of their class.

    Args:
        scores: (K, H, W).
        label: (H, W) class ids or ``ignore_index``.
        ignore_index: label value that is left out.
    """
    # numpy's arg-max is the first of equals by definition
    prediction = torch.from_numpy(scores.trunc().cpu().numpy().argmax(axis=0)).to(label.device)
    return int(((prediction == label) & (label != ignore_index)).sum())


def pix_acc_and_miou(areas: np.ndarray, correct: int) -> dict[str, float]:
    """Fractions of 1: ``pixAcc`` and ``mIoU`` over all K classes.

    Args:
        areas: (3, K) pixels that agree, predicted, labelled.
        correct: pixels that are right.
    """
    both, predicted, labelled = areas.astype(np.float64)
    union = predicted + labelled - both
    iou = np.divide(both, union, out=np.zeros_like(both), where=union > 0)
    return {'pixAcc': correct / max(1, int(labelled.sum())), 'mIoU': float(iou.mean())}
