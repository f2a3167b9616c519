"""Metrics: exact counts first, metrics from counts.

Importing this package is cheap; :mod:`openseg_plugin.evaluation.registered` imports what configs
name.
"""

F_THRESHOLDS = {'openseg': 0.00088, 'nvidia': 0.008}
"""Default radius of the published boundary F-scores, as a fraction of the image's diagonal."""
