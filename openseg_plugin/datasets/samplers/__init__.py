"""Endless orders of samples: reproducible, shared by processes, and entered at any position."""

from openseg_plugin.datasets.samplers.class_uniform import ClassUniformSampler
from openseg_plugin.datasets.samplers.infinite import (
    FineAndCoarseSampler,
    InfiniteSampler,
    SampleIndex,
)

__all__ = ['ClassUniformSampler', 'FineAndCoarseSampler', 'InfiniteSampler', 'SampleIndex']
