"""Metrics: exact counts first, metrics from counts.

Importing this package is cheap; :mod:`openseg_plugin.evaluation.registered` imports what configs
name.
"""
