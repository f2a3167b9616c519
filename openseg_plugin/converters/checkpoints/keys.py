"""Key tables: how an entry of a foreign file is called here, and what becomes of its numbers.

A table is a list of units, one per convolution with the normalization behind it. Every unit must
be filled and every entry of the file must belong to a unit, or the conversion fails.

In-place ABN scales with ``|weight| + 1e-5`` (openseg's and HRNet-OCR's CUDA extension adds eps to
the scale too), so an ordinary BatchNorm gets that as its weight.

What does not fit between a file and a network, as one sentence and as a list.
"""

from collections import OrderedDict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

import numpy as np
import torch

from openseg_plugin.converters.checkpoints.reader import require_names, unwrapped
from openseg_plugin.errors import CheckpointError

LISTED, SHOWN_OF_MANY = 60, 6


@dataclass(frozen=True)
class Mismatch:
    """Everything that does not fit; false when all fits.

    Attributes:
        unmapped: entries of the file without a place.
        unfilled: entries of the network that the file does not have.
        reshaped: what to say of entries with another shape.
    """

    unmapped: Sequence[str] = ()
    unfilled: Sequence[str] = ()
    reshaped: Sequence[str] = ()

    def __bool__(self) -> bool:
        return bool(self.unmapped or self.unfilled or self.reshaped)

    def report(self, *, limit: int = LISTED) -> str:
        """One clause that lists each kind with its number.

        All of a kind, unless there are more than ``limit``, as with another network: then the
        first ones, and :meth:`listing` has the others.
        """
        kinds = (
            (self.unmapped, 'is not known', 'are not known'),
            (self.unfilled, 'is missing', 'are missing'),
            (self.reshaped, 'has another shape', 'have another shape'),
        )
        return '; '.join(
            f'{counted(found)} {one if len(found) == 1 else many}: {listed(found, limit=limit)}'
            for found, one, many in kinds
            if found
        )

    def listing(self) -> str:
        """Everything, one per line."""
        kinds = (
            (self.unmapped, 'not known'),
            (self.unfilled, 'missing'),
            (self.reshaped, 'another shape'),
        )
        return '\n'.join(f'{text}: {what}' for found, text in kinds for what in found)


def counted(found: Collection[str]) -> str:
    """'1 entry', '2 entries'."""
    return f'{len(found)} {"entry" if len(found) == 1 else "entries"}'


def listed(found: Sequence[str], *, limit: int = LISTED) -> str:
    """All of them, or the first few of many and where the others are."""
    shown = found if len(found) <= limit else found[:SHOWN_OF_MANY]
    left = len(found) - len(shown)
    return ', '.join(shown) + (f', ... and {left} more (--debug lists them)' if left else '')


def size(shape: Sequence[int]) -> str:
    """'64x3x7x7'."""
    return 'x'.join(map(str, shape)) or 'a single number'


INPLACE_ABN_EPS = 1e-5
Array = np.ndarray | torch.Tensor


class Bias(Enum):
    """What a convolution's bias becomes."""

    NONE = 'neither has one'
    KEEP = 'both have one'
    ZERO = 'ours has one, theirs has none'
    FOLD = 'theirs has one, ours has none: the running mean behind it takes it'


@dataclass(frozen=True)
class LayerMapping:
    """A convolution, and the normalization behind it where there is one.

    Attributes:
        source: the convolution's name in the file.
        target: its name here.
        source_norm: the normalization's name in the file; empty: none.
        target_norm: its name here.
        bias: what becomes of the convolution's bias.
    """

    source: str
    target: str
    source_norm: str = ''
    target_norm: str = ''
    bias: Bias = Bias.NONE


@dataclass(frozen=True)
class Entry:
    """One array that is no convolution's, such as a learned scale.

    Attributes:
        source: its name in the file.
        target: its name here.
    """

    source: str
    target: str


def conv_module(
    source: str, target: str, source_norm: str, *, bias: Bias = Bias.NONE
) -> LayerMapping:
    """LayerMapping whose target is an mmcv ``ConvModule``."""
    return LayerMapping(source, f'{target}.conv', source_norm, f'{target}.bn', bias)


def translate(
    weights: Mapping[str, Array],
    units: Iterable[LayerMapping | Entry],
    *,
    is_inplace_abn: bool,
    what: str,
) -> dict[str, Array]:
    """``weights`` under our names.

    Args:
        weights: the file's entries without their common prefix.
        units: the table.
        is_inplace_abn: whether the scale of the norms is ``|weight| + 1e-5``.
        what: the network, for the message.

    Raises:
        CheckpointError: lists every entry without a unit, every unit without an entry, and every
            array that cannot be one of a convolution or a normalization.
    """
    job = _Translation(weights, is_inplace_abn)
    for unit in units:
        job.add(unit)
    found = Mismatch(tuple(job.left), tuple(job.unfilled), tuple(job.reshaped))
    if found:
        raise CheckpointError(
            f'this looks like {what}, but {found.report()}', details=found.listing()
        )
    return job.result


class _Translation:
    """Bookkeeping of :func:`translate`."""

    def __init__(self, weights: Mapping[str, Array], is_inplace_abn: bool) -> None:
        self.left = dict(weights)
        self.unfilled: list[str] = []
        self.reshaped: list[str] = []
        self.result: dict[str, Array] = {}
        self.is_inplace_abn = is_inplace_abn

    def add(self, unit: LayerMapping | Entry) -> None:
        if isinstance(unit, Entry):
            self._move(unit.source, unit.target)
            return
        weight = self._move(f'{unit.source}.weight', f'{unit.target}.weight', dimensions=4)
        bias = None
        if unit.bias is Bias.KEEP:
            self._move(f'{unit.source}.bias', f'{unit.target}.bias')
        elif unit.bias is Bias.FOLD:
            bias = self._take(f'{unit.source}.bias', f'{unit.target_norm}.running_mean')
        elif unit.bias is Bias.ZERO and weight is not None:
            self.result[f'{unit.target}.bias'] = zeros_like(weight, weight.shape[0])
        if unit.source_norm:
            self._add_norm(unit, bias)

    def _add_norm(self, unit: LayerMapping, bias: Array | None) -> None:
        source, target = unit.source_norm, unit.target_norm
        scale = self._take(f'{source}.weight', f'{target}.weight')
        if scale is not None:
            if self.is_inplace_abn:
                size_of_scale: Any = abs(scale)  # arrays of both kinds, and mypy knows no sum
                scale = size_of_scale + INPLACE_ABN_EPS
            self.result[f'{target}.weight'] = scale
        self._move(f'{source}.bias', f'{target}.bias')
        mean = self._move(f'{source}.running_mean', f'{target}.running_mean', dimensions=1)
        if mean is not None and bias is not None:
            if tuple(mean.shape) != tuple(bias.shape):
                self.reshaped.append(
                    f'{unit.source}.bias is {size(bias.shape)}, {source}.running_mean is '
                    f'{size(mean.shape)}'
                )
                return
            self.result[f'{target}.running_mean'] = mean - bias
        variance = self._move(f'{source}.running_var', f'{target}.running_var')
        counter = self.left.pop(f'{source}.num_batches_tracked', None)
        if counter is None and variance is not None:
            counter = step_counter(variance)
        if counter is not None:
            self.result[f'{target}.num_batches_tracked'] = counter

    def _take(self, source: str, target: str) -> Array | None:
        value = self.left.pop(source, None)
        if value is None:
            self.unfilled.append(source if source == target else f'{source} (here {target})')
        return value

    def _move(self, source: str, target: str, *, dimensions: int | None = None) -> Array | None:
        value = self._take(source, target)
        if value is None:
            return None
        self.result[target] = value
        if dimensions not in (None, len(value.shape)):
            self.reshaped.append(f'{source} is {size(value.shape)}, not of {dimensions} dimensions')
            return None
        return value


def zeros_like(array: Array, *shape: int) -> Array:
    """Zeros of ``shape`` in the type of ``array``."""
    if isinstance(array, torch.Tensor):
        return array.new_zeros(shape)
    return np.zeros(shape, array.dtype)


def step_counter(array: Array) -> Array:
    """A BatchNorm's ``num_batches_tracked`` of 0, as a tensor or array like ``array``."""
    if isinstance(array, torch.Tensor):
        return torch.zeros((), dtype=torch.long)
    return np.zeros((), np.int64)


def weights_of(checkpoint: Mapping[str, Any]) -> Mapping[str, Any]:
    """The names and arrays in a checkpoint: under ``state_dict``, ``model``, or at its top.

    Raises:
        CheckpointError: they are those of an optimizer.
    """
    return unwrapped(_weights_entry(checkpoint))


def _weights_entry(checkpoint: Mapping[str, Any]) -> Mapping[str, Any]:
    for key in ('state_dict', 'model'):
        if isinstance(checkpoint.get(key), Mapping):
            return checkpoint[key]
    return checkpoint


class PlainWeights(OrderedDict[str, Any]):
    """Weights without anything around them, as they are in the file.

    Asked for the entries that mmseg takes for granted, ``meta`` and ``state_dict``, they answer
    with an empty one and with themselves.
    """

    def __missing__(self, key: str) -> Mapping[str, Any]:
        if key == 'state_dict':
            return self
        if key == 'meta':
            return {}
        raise KeyError(key)


def as_mmengine_checkpoint(checkpoint: Mapping[str, Any]) -> Mapping[str, Any]:
    """``checkpoint`` with what mmengine and mmseg take for granted; nothing is taken away.

    Raises:
        CheckpointError: its weights are those of an optimizer or have no names.
    """
    weights = _weights_entry(checkpoint)
    if 'state_dict' in checkpoint and 'meta' in checkpoint:
        require_names(weights)
        return checkpoint
    if weights is checkpoint:
        plain = PlainWeights(unwrapped(weights))
        if hasattr(checkpoint, '_metadata'):  # versions of torch's layers
            plain._metadata = checkpoint._metadata  # type: ignore[attr-defined]  # as torch does
        return plain
    return {'meta': {}, **checkpoint, 'state_dict': unwrapped(weights)}


def without_prefix(weights: Mapping[str, Array], prefix: str) -> dict[str, Array]:
    """``weights`` with ``prefix`` cut off all names; unchanged if one does not start with it."""
    if weights and all(name.startswith(prefix) for name in weights):
        return {name[len(prefix) :]: value for name, value in weights.items()}
    return dict(weights)


def require_numbers(weights: Mapping[str, Any]) -> None:
    """Check that there are only arrays, without NaN or infinity.

    Raises:
        CheckpointError: names what is not.
    """
    strange = [name for name, value in weights.items() if not isinstance(value, Array | np.generic)]
    if strange or not weights:
        found = f'other things, such as {", ".join(strange[:3])}' if strange else 'nothing'
        raise CheckpointError(f'a mapping of names to arrays is needed, but it holds {found}')
    broken = [name for name, value in weights.items() if not _is_finite(value)]
    if broken:
        holds = 'holds' if len(broken) == 1 else 'hold'
        raise CheckpointError(
            f'{counted(broken)} {holds} NaN or infinity: {listed(broken)}; the training diverged '
            'or the file is damaged: use an earlier checkpoint',
            details='\n'.join(f'not finite: {name}' for name in broken),
        )


def _is_finite(value: Array) -> bool:
    if isinstance(value, torch.Tensor):
        if not value.is_floating_point() or value.is_meta:
            return True
        if value.layout is not torch.strided:
            value = value._values() if value.layout is torch.sparse_coo else value.values()
        # the sum is NaN or infinite if any element is, and much faster than asking each
        return bool(torch.isfinite(value.sum()) or torch.isfinite(value).all())
    return value.dtype.kind != 'f' or bool(np.isfinite(value).all())
