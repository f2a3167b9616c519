"""What a file of ``paddle.save`` holds beside names and arrays."""

import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from openseg_plugin.errors import CheckpointError

NAME_TABLE = 'StructuredToParameterName@@'  # entry -> Paddle's internal name of it
_OPTIMIZER = re.compile(r'_(velocity|moment[12]|beta[12]_pow_acc|momentum)_\d+$')


def unwrapped(checkpoint: Mapping[str, Any]) -> Mapping[str, Any]:
    """The mapping without the table of internal names, tensors as arrays; others as they are.

    ``paddle.save`` of anything but a plain state dict writes a tensor as a pair (name, array).

    Raises:
        CheckpointError: it is the state of an optimizer (``.pdopt``), or its keys are no names.
    """
    require_names(checkpoint)
    if any(_OPTIMIZER.search(key) for key in checkpoint):
        raise CheckpointError(
            'the file holds the state of an optimizer (.pdopt): give the .pdparams file beside it'
        )
    if not any(key == NAME_TABLE or _is_pair(value) for key, value in checkpoint.items()):
        return checkpoint
    return {
        key: value[1] if _is_pair(value) else value
        for key, value in checkpoint.items()
        if key != NAME_TABLE
    }


def require_names(checkpoint: Mapping[Any, Any]) -> None:
    """Check that all keys are names.

    Raises:
        CheckpointError: one is not.
    """
    for key in checkpoint:
        if not isinstance(key, str):
            raise CheckpointError(
                f'a mapping of names to arrays is needed, but it has the key {key!r}'
            )


def _is_pair(value: Any) -> bool:
    return (
        isinstance(value, tuple)
        and len(value) == 2
        and isinstance(value[0], str)
        and isinstance(value[1], np.ndarray)
    )
