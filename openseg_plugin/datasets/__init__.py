"""Dataset classes, samplers, transforms and label tables.

Importing this package is cheap; :mod:`openseg_plugin.datasets.registered` imports what
configs name.
"""
