"""Stored results of reference implementations, and the weights and inputs that led to them.

A fixture is an ``.npz`` with

- ``meta``: JSON: what was run, seeds, sizes, what each output is;
- ``keys``: JSON, for networks: [name, shape, dtype] of every entry of the reference's state dict;
- ``buf/<name>``: BatchNorm statistics (float16, exact); ``out/<name>``: what came out.

All other weights and every input follow from a seed: each array has a generator of its own, PCG64
seeded with the CRC-32 of "<seed>:<name>".
"""

import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Stored:
    """One fixture.

    Attributes:
        family: whose implementation it was.
        name: name of the file.
        meta: see the head of this module.
        keys: (name, shape, dtype) of every entry of the state dict; empty if it is no network.
        buffers: entries of the state dict that do not follow from the seed.
        outputs: what the reference gave.
        arrays: everything else.
    """

    family: str
    name: str
    meta: dict[str, Any]
    keys: list[tuple[str, Sequence[int], str]]
    buffers: dict[str, np.ndarray]
    outputs: dict[str, np.ndarray]
    arrays: dict[str, np.ndarray] = field(default_factory=dict)


def read(path: Path, family: str) -> Stored:
    """The fixture in a file."""
    with np.load(path, allow_pickle=False) as arrays:
        meta = json.loads(str(arrays['meta']))
        keys = json.loads(str(arrays['keys'])) if 'keys' in arrays else []
        parts = {
            part: {
                name.removeprefix(part): arrays[name]
                for name in arrays.files
                if name.startswith(part)
            }
            for part in ('buf/', 'out/')
        }
        known = ('meta', 'keys', 'buf/', 'out/')
        others = {name: arrays[name] for name in arrays.files if not name.startswith(known)}
    return Stored(
        family, path.stem, meta, [tuple(key) for key in keys], parts['buf/'], parts['out/'], others
    )


def state_dict(stored: Stored) -> dict[str, np.ndarray]:
    """The reference network's weights under its own names, in the dtypes it had."""
    found = {}
    variances = stored.meta.get('variances', {})  # one for all channels of a norm
    for name, shape, dtype in stored.keys:
        if name in stored.buffers:
            found[name] = stored.buffers[name].astype(dtype)
        elif name in variances:
            found[name] = np.full(tuple(shape), variances[name], dtype)
        else:
            found[name] = weight(name, shape, dtype=dtype, seed=stored.meta['seed'])
    return found


def weight(name: str, shape: Sequence[int], *, dtype: str = 'float32', seed: int = 0) -> np.ndarray:
    """Counters 0; kernels of variance 2 / fan-in; scales from 0.5..1.5; shifts of spread 0.1."""
    shape = tuple(shape)
    if np.dtype(dtype).kind in 'iu':
        return np.zeros(shape, dtype)
    random = _generator(seed, name)
    if len(shape) > 1:
        spread = np.sqrt(2 / int(np.prod(shape[1:])))
        # float64 said in words: numpy 1 would multiply in float32
        return (random.standard_normal(shape, dtype='float32').astype('float64') * spread).astype(
            dtype
        )
    if name.endswith('weight') or name.endswith('_scale'):
        return random.uniform(0.5, 1.5, shape).astype(dtype)
    return (random.standard_normal(shape, dtype='float32') * 0.1).astype(dtype)


def image(shape: Sequence[int], seed: int = 0) -> np.ndarray:
    """Standard normal float32 numbers: a normalized image (N, 3, H, W), or logits."""
    return _generator(seed, 'image').standard_normal(tuple(shape), dtype='float32')


def labels(
    shape: Sequence[int],
    num_classes: int,
    seed: int = 0,
    *,
    ignore_index: int = 255,
    ignored_fraction: float = 0.05,
    block: int = 8,
) -> np.ndarray:
    """(N, H, W) int64 label maps of square blocks, a fraction of which is ignored."""
    count, height, width = shape
    random = _generator(seed, 'labels')
    blocks = random.integers(0, num_classes, (count, -(-height // block), -(-width // block)))
    blocks[random.random(blocks.shape) < ignored_fraction] = ignore_index
    return np.kron(blocks, np.ones((1, block, block), 'int64'))[:, :height, :width]


def error(actual: np.ndarray, expected: np.ndarray) -> float:
    """Largest difference, relative to the largest expected value.

    Raises:
        AssertionError: the shapes differ.
    """
    expected = np.asarray(expected, 'float64')
    actual = np.asarray(actual, 'float64')
    assert actual.shape == expected.shape, f'{actual.shape} instead of {expected.shape}'
    return float(abs(actual - expected).max() / abs(expected).max())


def _generator(seed: int, name: str) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(zlib.crc32(f'{seed}:{name}'.encode())))


def errors(actual: Mapping[str, np.ndarray], expected: Mapping[str, np.ndarray]) -> dict:
    """:func:`error` of every expected output.

    Raises:
        AssertionError: an output was not computed.
    """
    missing = sorted(expected.keys() - actual.keys())
    assert not missing, f'no such output here: {", ".join(missing)}'
    return {name: error(actual[name], expected[name]) for name in expected}
