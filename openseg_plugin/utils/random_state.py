"""The random generators of one process: taken, given back, kept as they are."""

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


def random_state() -> dict:
    """States of the generators of Python, numpy and torch, as types that safe loading admits.

    'python': tuple; 'numpy': list with a (624,) int64 tensor; 'torch': uint8 tensor;
    'cuda': uint8 tensor of the current GPU, or None.
    """
    kind, keys, position, has_gauss, gauss = np.random.get_state(legacy=True)
    numbers = torch.from_numpy(np.asarray(keys).astype(np.int64))
    return {
        'python': random.getstate(),
        'numpy': [kind, numbers, position, has_gauss, gauss],
        'torch': torch.get_rng_state(),
        'cuda': torch.cuda.get_rng_state() if torch.cuda.is_available() else None,
    }


def set_random_state(state: dict) -> None:
    """Puts the generators where :func:`random_state` found them.

    A state without a GPU's part leaves the GPU's generator alone, and a state with one is used
    without it where there is no GPU.
    """
    version, internal, gauss_next = state['python']
    random.setstate((version, tuple(internal), gauss_next))
    kind, keys, position, has_gauss, gauss = state['numpy']
    np.random.set_state((kind, keys.cpu().numpy().astype(np.uint32), position, has_gauss, gauss))
    torch.set_rng_state(state['torch'].cpu())
    if state['cuda'] is not None and torch.cuda.is_available():
        torch.cuda.set_rng_state(state['cuda'].cpu())


@contextmanager
def preserve_rng_state() -> Iterator[dict]:
    """Gives the generators back as they were; yields the state that will be given back."""
    state = random_state()
    try:
        yield state
    finally:
        set_random_state(state)
