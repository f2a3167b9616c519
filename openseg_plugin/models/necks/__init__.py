"""Necks: what stands between a backbone and its heads."""

from openseg_plugin.models.necks.jpu import JPU

__all__ = ['JPU']
