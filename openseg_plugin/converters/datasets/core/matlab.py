"""Reading MATLAB files, in which some label maps are published."""

from pathlib import Path
from typing import Any

import numpy as np

from openseg_plugin.errors import DataError


def read_matlab(path: Path, *keys: str) -> np.ndarray:
    """An array of a ``.mat`` file; further keys go into structures.

    Raises:
        DataError: the file cannot be read or has no such entry.
    """
    from scipy.io import loadmat

    try:
        value: Any = loadmat(str(path), variable_names=[keys[0]])
        for i, key in enumerate(keys):
            value = value[key] if i == 0 else value[key][0, 0]
        array = np.asarray(value)
    except FileNotFoundError as error:
        raise DataError(f'{path} is missing') from error
    except (KeyError, ValueError, IndexError) as error:
        if isinstance(error, KeyError):
            raise DataError(f'{path} has no entry {".".join(keys)}') from error
        raise DataError(f'{path} is not the expected MATLAB file ({error})') from error
    except Exception as error:  # scipy's reader has no error class of its own
        raise DataError(f'{path} cannot be read ({error}): get an intact copy') from error
    if not np.issubdtype(array.dtype, np.number):
        raise DataError(f'{path}: {".".join(keys)} holds {array.dtype}, no numbers')
    if array.ndim != 2:
        raise DataError(f'{path}: {".".join(keys)} has shape {array.shape}, not a map')
    return array
