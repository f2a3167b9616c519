"""Metrics: exact counts, and the figures that follow from them."""

from openseg_plugin.evaluation.iou_metric import IoUMetric

__all__ = ['IoUMetric']
