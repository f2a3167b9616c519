"""Weights of any known source, made to fit one given model: what loading a file needs."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from openseg_plugin.converters.checkpoints.conversion import Conversion
from openseg_plugin.converters.checkpoints.keys import (
    LISTED,
    SHOWN_OF_MANY,
    Array,
    Mismatch,
    require_numbers,
    size,
    weights_of,
    zeros_like,
)
from openseg_plugin.converters.checkpoints.sources import convert_match, is_classifier, match
from openseg_plugin.errors import CheckpointError

_BACKBONE = 'backbone.'
_SCALE_ATTENTION = 'scale_attention.'
_COUNTER = '.num_batches_tracked'
Shapes = Mapping[str, Sequence[int]]


@dataclass(frozen=True)
class Fitted:
    """What :func:`adapt` gives.

    Attributes:
        state_dict: entries under the model's names, each of the model's shape.
        conversion: where they came from; None: they had the model's names already.
        dropped_classifier: the model's entries that were left out as asked.
    """

    state_dict: dict[str, Array]
    conversion: Conversion | None
    dropped_classifier: tuple[str, ...] = ()


def adapt(
    checkpoint: Mapping[str, Any],
    shapes: Shapes,
    *,
    part: str = 'model',
    drop_classifier: bool = False,
    is_partial: bool = False,
) -> Fitted:
    """Entries of ``checkpoint`` for a model with entries of these ``shapes``.

    Biases are moved where the two disagree about them: a bias that only the file has is folded
    into the running mean behind it, one that only the model has becomes zero.

    Args:
        checkpoint: a checkpoint or its mapping of names to arrays, of any known source.
        shapes: name -> shape of every entry of the model, or of the backbone alone.
        part: 'model', or 'backbone' to take the backbone out of a whole network's file.
        drop_classifier: leave the classifier out, and scale attention where the file has none.
        is_partial: accept a file that does not fill the model or holds more.

    Raises:
        CheckpointError: names what does not fit: the numbers of classes, or all entries that are
            unknown, missing or of another shape.
    """
    weights = weights_of(checkpoint)
    conversion = None
    if weights.keys() <= shapes.keys():
        if weights:
            require_numbers(weights)
    else:
        weights, conversion = _translated(weights, part)
    weights = _with_fitting_biases(weights, shapes)
    dropped: tuple[str, ...] = ()
    if drop_classifier:
        dropped = tuple(filter(is_classifier, shapes))
        if not any(name.startswith(_SCALE_ATTENTION) for name in weights):
            # a network of one scale starts the training of one with several
            dropped += tuple(name for name in shapes if name.startswith(_SCALE_ATTENTION))
        weights = {name: value for name, value in weights.items() if not is_classifier(name)}
    unmapped, unfilled = [], []
    if not is_partial:
        unmapped = [name for name in weights if name not in shapes]
        unfilled = [name for name in shapes if _is_missing(name, weights, dropped)]
    _require_fit(weights, shapes, unmapped, unfilled, conversion)
    return Fitted(dict(weights), conversion, dropped)


def _translated(weights: Mapping[str, Any], part: str) -> tuple[dict[str, Array], Any]:
    """Entries under our names and the conversion; a file that nobody knows stays as it is."""
    found = match(weights)
    conversion = None
    if weights:
        require_numbers(weights)
    if found is not None and not found.is_own:
        conversion = convert_match(weights, found)
        weights = conversion.state_dict
        if part == 'model' and conversion.is_backbone:
            raise CheckpointError(
                f'the file holds a backbone alone ({conversion.source}), but a whole network is '
                "needed; to start training from it use init_cfg=dict(type='Pretrained', "
                'checkpoint=FILE) of the backbone'
            )
    if part == 'backbone' and any(name.startswith(_BACKBONE) for name in weights):
        weights = {
            name.removeprefix(_BACKBONE): value
            for name, value in weights.items()
            if name.startswith(_BACKBONE)
        }
    return dict(weights), conversion


def _with_fitting_biases(weights: Mapping[str, Array], shapes: Shapes) -> Mapping[str, Array]:
    """Moves the biases of convolutions with a norm (our ``ConvModule``) as the model has them."""
    if weights.keys() == shapes.keys():
        return weights
    ending = '.conv.bias'
    weights = dict(weights)
    for name in [name for name in weights if name.endswith(ending) and name not in shapes]:
        mean = name.removesuffix(ending) + '.bn.running_mean'
        if mean in weights and tuple(weights[mean].shape) == tuple(weights[name].shape):
            weights[mean] = weights[mean] - weights.pop(name)
    for name in (name for name in shapes if name.endswith(ending) and name not in weights):
        mean = name.removesuffix(ending) + '.bn.running_mean'
        if mean in weights:
            weights[name] = zeros_like(weights[mean], *shapes[name])
    return weights


def _other_classes(weights: Mapping[str, Array], shapes: Shapes) -> dict[str, tuple[int, int]]:
    """Classifiers that differ in their number of classes alone -> that of the file and ours."""
    return {
        name: (int(weights[name].shape[0]), int(shapes[name][0]))
        for name in shapes
        if is_classifier(name)
        and name in weights
        and tuple(weights[name].shape) != tuple(shapes[name])
        and tuple(weights[name].shape[1:]) == tuple(shapes[name][1:])
    }


def _is_missing(name: str, weights: Mapping[str, Array], dropped: Iterable[str]) -> bool:
    return name not in weights and name not in dropped and not name.endswith(_COUNTER)


def _require_fit(
    weights: Mapping[str, Array],
    shapes: Shapes,
    unmapped: Sequence[str],
    unfilled: Sequence[str],
    conversion: Conversion | None,
) -> None:
    """Raises one error for everything that does not fit.

    Raises:
        CheckpointError: when there is anything.
    """
    classes = _other_classes(weights, shapes)
    reshaped = [
        f'{name} is {size(value.shape)} in the file and {size(shapes[name])} here'
        for name, value in weights.items()
        if name in shapes and name not in classes and tuple(value.shape) != tuple(shapes[name])
    ]
    found = Mismatch(unmapped, unfilled, reshaped)
    if not found:
        _require_classes(classes)
        return
    # of a network that has a config of its own nobody wants to read all keys
    clauses = [found.report(limit=LISTED if conversion is None else SHOWN_OF_MANY)]
    for theirs, ours in dict.fromkeys(classes.values()):
        clauses.append(f'it was trained for {theirs} classes, the model has {ours}')
    if unfilled and all(map(is_classifier, unfilled)) and not unmapped:
        clauses.append('model.drop_classifier=True (--drop-classifier) does without a classifier')
    where, advice = 'the weights do not fit the model: ', ''
    if conversion is not None:
        where = f'the weights are those of {conversion.source}, which is another model: '
        advice = f'; the config that fits is {conversion.command}'
    raise CheckpointError(where + '; '.join(clauses) + advice, details=found.listing())


def _require_classes(classes: Mapping[str, tuple[int, int]]) -> None:
    """Raises one error for classifiers of another number of classes.

    Raises:
        CheckpointError: there are such.
    """
    for name, (theirs, ours) in classes.items():
        raise CheckpointError(
            f'the weights were trained for {theirs} classes, but the model has {ours} '
            f'({name}); to start training from them set model.drop_classifier=True '
            f'(--drop-classifier), otherwise use a config with {theirs} classes'
        )
