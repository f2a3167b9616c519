"""pixAcc and mIoU as pytorch-cv and other children of GluonCV count them.

Both differ a little from ``IoUMetric``. For pixAcc the zoo takes the class of the largest score
*after cutting the scores to whole numbers*, the first class where several are equal. In mIoU a
class that occurs neither in prediction nor label counts as 0.
"""

from collections.abc import Sequence

import numpy as np
import torch
from mmengine.evaluator import BaseMetric

from openseg_plugin.errors import ConfigError
from openseg_plugin.evaluation.confusion import class_areas, confusion_matrix
from openseg_plugin.registry import METRICS


@METRICS.register_module()
class PixAccMetric(BaseMetric):
    """``pixAcc`` and ``mIoU`` in percent, two decimals.

    Args:
        ignore_index: label value that is left out.
        truncate_scores: count pixAcc as the zoo did, from the scores of a single-scale test.
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
