"""Metrics: exact counts, and the metrics that follow from them."""

from openseg_plugin.evaluation.boundary_metrics import BoundaryF, BoundaryIoU, TrimapIoU
from openseg_plugin.evaluation.iou_metric import IoUMetric, PixAccMetric

__all__ = ['BoundaryF', 'BoundaryIoU', 'IoUMetric', 'PixAccMetric', 'TrimapIoU']
