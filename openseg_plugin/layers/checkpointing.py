"""Activation checkpointing that leaves running statistics alone: less memory for a second pass.

A part that is computed again in the backward pass would move the running statistics of its norms a
second time; here they stand still during that.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint


@contextmanager
def frozen_bn_stats(module: nn.Module) -> Iterator[None]:
    """Within it the norms below ``module`` use, but do not record, the statistics of the batch."""
    norms = [m for m in module.modules() if isinstance(m, _BatchNorm) and m.track_running_stats]
    kept = [(norm, norm.momentum, norm.num_batches_tracked.clone()) for norm in norms]
    for norm in norms:
        norm.momentum = 0.0  # the old statistics count all
    try:
        yield
    finally:
        for norm, momentum, counter in kept:
            norm.momentum = momentum
            norm.num_batches_tracked.copy_(counter)


def recomputed(module: nn.Module, function: Callable[..., Any], *inputs: Any) -> Any:
    """``function(*inputs)``; what it keeps for the gradient is computed again when it is needed.

    Args:
        module: holds the parameters and norms that ``function`` uses.
        function: a method of it.
        inputs: tensors, or lists of tensors.
    """
    if not torch.is_grad_enabled():
        return function(*inputs)

    def contexts() -> tuple[AbstractContextManager, AbstractContextManager]:
        return nullcontext(), frozen_bn_stats(module)

    return checkpoint(function, *inputs, use_reentrant=False, context_fn=contexts)
