"""Dataset classes, samplers, transforms and label tables.

Importing this package is cheap; what configs name is registered by its own modules.
"""
