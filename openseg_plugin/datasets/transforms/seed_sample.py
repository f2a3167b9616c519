"""Augmentation that depends on the position of the sample alone."""

import random

import numpy as np
import torch
from mmcv.transforms import BaseTransform

from openseg_plugin.datasets.samplers import SampleIndex
from openseg_plugin.registry import TRANSFORMS


@TRANSFORMS.register_module()
class SeedSample(BaseTransform):
    """First transform of a training pipeline: makes the random choices of the others repeatable.

    Seeds Python's, numpy's and torch's (CPU) generators of the loading process from the seed and
    the position of the sample, which :class:`openseg_plugin.InfiniteSampler` gives. So the stream
    of samples is the same for any number of workers, of processes, and after a resume. Samples
    from other samplers carry no position and pass unchanged.
    """

    def transform(self, results: dict) -> dict:
        """Seeds the generators; ``results`` passes through."""
        index = results.get('sample_idx')
        if isinstance(index, SampleIndex):
            state = np.random.SeedSequence([index.seed, index.position]).generate_state(3)
            random.seed(int(state[0]))
            np.random.seed(state[1])
            torch.default_generator.manual_seed(int(state[2]))
        return results

    def __repr__(self) -> str:
        return 'SeedSample()'
