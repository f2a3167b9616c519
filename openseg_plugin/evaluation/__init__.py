"""Metrics: exact counts first, metrics from counts.

Importing this package is cheap; what configs name is in :mod:`openseg_plugin.evaluation.iou_metric`
and :mod:`openseg_plugin.evaluation.boundary_metrics`.
"""

F_THRESHOLDS = {'openseg': 0.00088, 'nvidia': 0.008}
"""Default radius of the published boundary F-scores, as a fraction of the image's diagonal."""
