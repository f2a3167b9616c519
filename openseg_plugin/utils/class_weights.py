"""Weights of the classes from a file, so that a config need not hold 150 numbers."""

import os
from pathlib import Path
from typing import Any

import numpy as np

from openseg_plugin.errors import ConfigError
from openseg_plugin.utils.files import parse_json

CLASS_WEIGHT_SUFFIXES = ('.json', '.txt', '.npy')


def read_class_weights(path: str | os.PathLike) -> list[float]:
    """One weight per class, in the order of the file.

    Args:
        path: ``.json``, a list of numbers; ``.txt``, numbers between blanks, commas or line ends;
            ``.npy``, an array of one dimension, of numbers (never a pickle).

    Raises:
        ConfigError: the file is missing, of another kind, or holds anything but weights.
    """
    path = Path(path).expanduser()
    if path.suffix not in CLASS_WEIGHT_SUFFIXES:
        raise ConfigError(
            f'class_weight names {path}, but weights of classes are read from '
            f'{", ".join(CLASS_WEIGHT_SUFFIXES)} files.'
        )
    try:
        found = _READERS[path.suffix](path)
    except FileNotFoundError:
        raise ConfigError(f'class_weight names {path}, but there is no such file.') from None
    except OSError as error:
        raise ConfigError(
            f'class_weight names {path}, which cannot be read: {error.strerror or error}.'
        ) from error
    except ValueError as error:  # of json, float and numpy
        raise ConfigError(
            f'class_weight names {path}, which does not hold a list of numbers ({error}): write '
            'one weight per class into it.'
        ) from error
    return _require_weights(found, path)


def _require_weights(weights: Any, path: Path) -> list[float]:
    is_list = isinstance(weights, list) and bool(weights)
    if not is_list or not all(isinstance(weight, int | float) for weight in weights):
        raise ConfigError(
            f'class_weight names {path}, which does not hold a list of numbers: write one weight '
            'per class into it.'
        )
    wrong = [weight for weight in weights if not 0 <= weight < float('inf')]
    if wrong:
        raise ConfigError(
            f'class_weight names {path}, which holds the weight {wrong[0]:g}: each must be 0 or '
            'more, and finite.'
        )
    return [float(weight) for weight in weights]


def _read_json(path: Path) -> Any:
    return parse_json(path.read_text(encoding='utf-8'))


def _read_text(path: Path) -> list[float]:
    return [float(word) for word in path.read_text(encoding='utf-8').replace(',', ' ').split()]


def _read_array(path: Path) -> Any:
    array = np.load(path, allow_pickle=False)
    if not isinstance(array, np.ndarray) or array.dtype.kind not in 'iuf':
        raise ValueError('it is no array of numbers')
    return array.tolist()


_READERS = {'.json': _read_json, '.txt': _read_text, '.npy': _read_array}
