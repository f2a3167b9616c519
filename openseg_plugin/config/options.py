"""Options of our classes in a config, held against what their signatures say, before building.

Types are those of the annotations. Ranges are in one table by name, as a name means the same in
every class: ``dropout_ratio`` is a probability wherever it stands.
"""

import collections.abc
import difflib
import functools
import inspect
import math
import numbers
import os
import types
import typing
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from mmengine.registry import Registry
from mmseg.registry import (
    DATA_SAMPLERS,
    DATASETS,
    EVALUATOR,
    HOOKS,
    LOOPS,
    METRICS,
    MODELS,
    OPTIM_WRAPPER_CONSTRUCTORS,
    OPTIM_WRAPPERS,
    PARAM_SCHEDULERS,
    TRANSFORMS,
    VISUALIZERS,
)

from openseg_plugin.config import queries
from openseg_plugin.errors import ConfigError

FLAGS = (bool, np.bool_)  # True and False, for isinstance; 1 and 0 are numbers
TEXTS = (str, os.PathLike)
WHOLE_FROM_1 = 'a whole number of 1 or more'
WHOLE_FROM_0 = 'a whole number of 0 or more'
PAIR = 'two whole numbers above 0, (height, width)'
MOST = 4096  # of samples in a batch, processes, and pixels of padding
_SHOWN = 160  # characters of a value in a message
# place in a config -> what is built there; below it the same, until another such place
_PLACES: dict[str, Registry] = {
    **dict.fromkeys(('model', 'tta_model'), MODELS),
    **dict.fromkeys(('dataset', 'datasets'), DATASETS),
    **dict.fromkeys(('pipeline', 'transforms', 'transform'), TRANSFORMS),
    **dict.fromkeys(('default_hooks', 'custom_hooks'), HOOKS),
    **dict.fromkeys(('val_evaluator', 'test_evaluator', 'metrics', 'before'), METRICS),
    'sampler': DATA_SAMPLERS,
    'train_cfg': LOOPS,
    'optim_wrapper': OPTIM_WRAPPERS,
    'param_scheduler': PARAM_SCHEDULERS,
    'visualizer': VISUALIZERS,
}
_AT_TOP = (
    *('model', 'tta_model', 'train_dataloader', 'val_dataloader', 'test_dataloader'),
    *('default_hooks', 'custom_hooks', 'val_evaluator', 'test_evaluator', 'train_cfg'),
    *('optim_wrapper', 'param_scheduler', 'visualizer'),
)
# what the code that builds a part adds to its config, or takes out of it
_GIVEN = {
    *('runner', 'dataloader', 'dataset', 'module', 'optimizer', 'optim_wrapper_cfg', 'name'),
    *('type', '_scope_', 'priority', 'data_preprocessor', 'constructor', 'paramwise_cfg'),
}
# options of our classes that they inherit from others, whose annotations are not to be relied on
_INHERITED: dict[str, Any] = {
    **dict.fromkeys(('norm_cfg', 'act_cfg', 'conv_cfg', 'backend_args'), dict | None),
    **dict.fromkeys(('by_epoch', 'save_last', 'save_optimizer', 'test_mode', 'lazy_init'), bool),
    **dict.fromkeys(('strict', 'save_param_scheduler'), bool),
    **dict.fromkeys(('max_refetch', 'ignore_index', 'save_begin'), int),
    **dict.fromkeys(('greater_keys', 'less_keys'), list[str] | None),
    **dict.fromkeys(('save_best', 'rule', 'published_keys'), str | list[str] | None),
    'vis_backends': list[dict] | None,
    'file_client_args': dict | None,
    'dropout_ratio': float,
    'init_cfg': dict | list[dict] | None,
    'min_delta': float,
    'out_dir': str | None,
    'alpha': float,
    'filter_cfg': dict | None,
}


@dataclass(frozen=True)
class _Rule:
    """What every number of an option must be.

    Attributes:
        holds: whether a number is right.
        one: what to give, in words.
        several: likewise where it is a list.
        may_be_empty: an empty list is right.
    """

    holds: Callable[[Any], bool]
    one: str
    several: str
    may_be_empty: bool = False


def is_whole(value: Any, least: float = -math.inf) -> bool:
    """Whether a value is a whole number of ``least`` or more; True and False are none."""
    is_integer = isinstance(value, numbers.Integral) and not isinstance(value, bool)
    return is_integer and int(value) >= least


def is_number(value: Any) -> bool:
    """Whether a value is a finite number; True and False are none."""
    return isinstance(value, numbers.Real) and not isinstance(value, bool) and math.isfinite(value)


def is_list_of(value: Any, kind: type | tuple[type, ...]) -> bool:
    """Whether a value is a list or tuple of such."""
    return isinstance(value, (list, tuple)) and all(isinstance(item, kind) for item in value)


def is_pair(value: Any) -> bool:
    """Whether a value is two whole numbers above 0."""
    return (
        isinstance(value, (list, tuple)) and len(value) == 2 and all(is_whole(v, 1) for v in value)
    )


def _whole(least: int, *, may_be_empty: bool = False) -> _Rule:
    more = f'of {least} or more'
    one, several = f'a whole number {more}', f'whole numbers {more}'
    return _Rule(lambda v: is_whole(v, least), one, several, may_be_empty)


def _between(low: float, high: float, *, is_open: bool = False) -> _Rule:
    def holds(value: Any) -> bool:
        return is_number(value) and (low < value if is_open else low <= value) and value <= high

    bounds = f'from {low:g} to {high:g}' if high < math.inf else f'of {low:g} or more'
    if is_open:
        bounds = f'above {low:g}' + (f', at most {high:g}' if high < math.inf else '')
    return _Rule(holds, f'a number {bounds}', f'numbers {bounds}')


_RULES: dict[str, _Rule] = {
    **dict.fromkeys(
        (
            *('channels', 'in_channels', 'asp_channels', 'key_channels', 'context_channels'),
            *('edge_channels', 'narrow_channels', 'skip_channels', 'skip_in_channels'),
            *('pool_channels', 'value_channels', 'out_channels', 'stem_channels', 'width'),
            *('recurrence', 'kernel_size', 'bottleneck_kernel', 'dilations', 'windows'),
            *('pool_scales', 'num_blocks', 'num_modules', 'layer1', 'depth', 'output_stride'),
            *('multi_grid', 'num_directions', 'radius', 'pool_size', 'pool_stride', 'key_convs'),
            *('crop_size', 'size', 'length', 'base_size', 'tile', 'widths', 'patience'),
            *('num_classes', 'max_distance', 'img_size', 'epochs', 'steps_per_epoch', 'scale'),
        ),
        _whole(1),
    ),
    **dict.fromkeys(
        (
            *('min_kept', 'border', 'warmup_iters', 'num_images', 'max_images', 'num_convs'),
            *('samples', 'min_distance', 'coarse_seed', 'double_from', 'seed', 'save_begin'),
            'max_refetch',
        ),
        _whole(0),
    ),
    **dict.fromkeys(('strict_classes', 'boost_classes'), _whole(0, may_be_empty=True)),
    **dict.fromkeys(('dropout_ratio', 'projection_dropout', 'prob', 'fraction'), _between(0, 1)),
    **dict.fromkeys(('threshold', 'thresh', 'alpha'), _between(0, 1)),
    **dict.fromkeys(
        (
            *('smooth', 'gamma', 'ridge', 'upper_bound', 'bias', 'seconds', 'coarse_ratio'),
            *('radius_range', 'boundary_weight', 'direction_weight', 'warmup_factor'),
            *('base_weight', 'rmi_weight', 'power', 'eta_min', 'head_lr_mult'),
        ),
        _between(0, math.inf),
    ),
    **dict.fromkeys(
        (
            *('scale_range', 'aspect_range', 'scale_step', 'train_scale', 'scales', 'ratios'),
            *('beta', 'scale_weights', 'thresholds'),
        ),
        _between(0, math.inf, is_open=True),
    ),
    'dilation_ratio': _between(0, 1, is_open=True),
    'out_indices': _Rule(is_whole, 'a whole number', 'whole numbers'),
    'max_keep_ckpts': _Rule(
        lambda v: is_whole(v, 1) or v == -1, 'a whole number of 1 or more, or -1 for all', ''
    ),
    'shift': _Rule(lambda v: is_whole(v, 0) and v <= 255, 'a whole number from 0 to 255', ''),
}
# an option of the same name elsewhere, with another range: (class's name, option)
_OTHERS: dict[tuple[str, str], _Rule] = {
    ('TverskyLoss', 'alpha'): _between(0, math.inf),
    ('TverskyLoss', 'beta'): _between(0, math.inf),
    ('TverskyLoss', 'gamma'): _between(0, math.inf, is_open=True),
    ('ScaleAttentionHead', 'num_convs'): _whole(1),
}
# option -> the only values that it has
_CHOICES: dict[str, tuple[Any, ...]] = {
    'align_corners': (True, False, 'top_left'),
    'collect_device': ('cpu', 'gpu', 'npu'),
}
# options that are built: dicts with a type, or lists of them
_BUILT = {
    *('backbone', 'decode_head', 'auxiliary_head', 'neck', 'scale_attention', 'context'),
    *('loss_decode', 'loss_region', 'loss_edge', 'loss_decoder', 'loss_scale'),
}
# dicts that are options without a type of their own; their entries follow the same rules
_INNER = ('region', 'attention', 'paramwise_cfg')


def need(is_right: bool, key: str, value: Any, needed: str) -> None:
    """Makes sure of something about a value of a config.

    Raises:
        ConfigError: names key and value, and what is needed.
    """
    if not is_right:
        text = repr(value)
        text = text if len(text) <= _SHOWN else f'{text[:_SHOWN]}...'
        raise ConfigError(f'{key} is {text}: give {needed}')


def parts(cfg: Mapping) -> Iterator[tuple[str, Mapping, Any]]:
    """Every part of a config that is built, outermost first: key, part, class.

    The class is None where nobody knows the type. Parts without a type are left out.
    """
    for key in _AT_TOP:
        if key in cfg:
            yield from _parts_of(cfg[key], key, _PLACES.get(key))


def _parts_of(
    value: Any, key: str, registry: Registry | None
) -> Iterator[tuple[str, Mapping, Any]]:
    if isinstance(value, (list, tuple)):
        for number, one in enumerate(value):
            yield from _parts_of(one, f'{key}.{number}', registry)
    if not isinstance(value, Mapping):
        return
    if registry is not None and 'type' in value:
        yield key, value, _class_of(value, registry)
    if registry is OPTIM_WRAPPERS and isinstance(value.get('constructor'), str):
        constructor = {'type': value['constructor'], **_only(value, 'paramwise_cfg')}
        yield key, constructor, queries.resolve(constructor, OPTIM_WRAPPER_CONSTRUCTORS)
    for name, one in value.items():
        yield from _parts_of(one, f'{key}.{name}', _PLACES.get(name, registry))


def _class_of(part: Mapping, registry: Registry) -> Any:
    found = queries.resolve(part, registry)
    return queries.resolve(part, EVALUATOR) if found is None and registry is METRICS else found


def _only(part: Mapping, *names: str) -> dict[str, Any]:
    return {name: part[name] for name in names if name in part}


def check_options(cfg: Mapping) -> None:
    """Makes sure that the options of our classes have the types and ranges that these need.

    Args:
        cfg: a config, or a part of one below the key that it has there.

    Raises:
        ConfigError: names key and value, and what is needed.
    """
    for key, part, kind in parts(cfg):
        need(
            isinstance(part['type'], (str, type)) or callable(part['type']),
            f'{key}.type',
            part['type'],
            'the name of a class',
        )
        if isinstance(kind, type) and _is_ours(kind):
            _check_part(part, key, kind)


def _is_ours(kind: type) -> bool:
    return kind.__module__.partition('.')[0] == __name__.partition('.')[0]


def _check_part(part: Mapping, key: str, kind: type) -> None:
    known, lacking, is_closed = _signature(kind)
    given = _GIVEN | (
        {'in_channels'} if 'num_classes' in known else set()
    )  # timm's backbone says it
    missing = [name for name in lacking if name not in part and name not in given]
    if missing:
        raise ConfigError(f'{key} is {kind.__name__} and lacks {", ".join(missing)}: give it')
    if is_closed:
        _refuse_unknown(part, key, kind, known)
    for name, value in part.items():
        if name in _CHOICES:
            words = ' or '.join(map(repr, _CHOICES[name]))
            is_choice = isinstance(value, (str, *FLAGS)) and value in _CHOICES[name]
            need(is_choice or value is None, f'{key}.{name}', value, words)
        if name == 'init_cfg' and queries.is_pretrained(value):
            file = value.get('checkpoint')
            place, needed = f'{key}.init_cfg.checkpoint', 'a file or an address'
            need(isinstance(file, TEXTS), place, file, needed)
        if name in _BUILT and value is not None and known.get(name) is not str:
            _check_built(value, f'{key}.{name}')
        if name in known and name not in ('type', 'runner', 'dataloader', 'dataset'):
            _check_type(value, known[name], f'{key}.{name}')
        _check_range(value, _OTHERS.get((kind.__name__, name)) or _RULES.get(name), f'{key}.{name}')
        if name in _INNER and isinstance(value, Mapping):
            for inner, one in value.items():
                _check_range(one, _RULES.get(inner), f'{key}.{name}.{inner}')


def _refuse_unknown(part: Mapping, key: str, kind: type, known: Mapping[str, Any]) -> None:
    for name in part:
        if name in known or name in _GIVEN:
            continue
        near = difflib.get_close_matches(str(name), known, n=1)
        has = ', '.join(one for one in known if one not in _GIVEN) or 'none'
        hint = f'did you mean {near[0]}?' if near else f'it has {has}'
        raise ConfigError(
            f'{key} gives an option that does not exist, {name}: {kind.__name__} takes no '
            f"argument '{name}', {hint}"
        )


def _check_built(value: Any, key: str) -> None:
    if isinstance(value, (list, tuple)):
        need(bool(value), key, value, 'a dict with a type, or leave it out')
        for number, one in enumerate(value):
            _check_built(one, f'{key}.{number}')
    else:
        need(isinstance(value, Mapping) and 'type' in value, key, value, 'a dict with a type')


@functools.cache
def _signature(kind: type) -> tuple[dict[str, Any], tuple[str, ...], bool]:
    """Options of a class with their annotations, those that lack a default, whether these are all.

    Those of bases may be taken too, where the class hands on what it does not name.
    """
    known: dict[str, Any] = {}
    lacking: list[str] = []
    makers = [one for one in kind.__mro__[:-1] if '__init__' in vars(one)]
    is_closed = True
    for one in makers:
        made: Any = vars(one)['__init__']
        parameters = list(inspect.signature(made).parameters.values())[1:]
        takes_more = any(p.kind is p.VAR_KEYWORD for p in parameters)
        named = [p for p in parameters if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)]
        hints = typing.get_type_hints(made) if _is_ours(one) else _INHERITED
        for p in (p for p in named if p.name not in known):
            known[p.name] = hints.get(p.name, Any)
            # other options of a base may be given by the class itself
            is_wanted = p.name == 'num_classes' or one is makers[0]
            if p.default is p.empty and is_wanted and _is_ours(one):
                lacking.append(p.name)
        if one is makers[0]:
            is_closed = not takes_more
        if not takes_more:
            break
    return known, tuple(lacking), is_closed


def _check_range(value: Any, rule: _Rule | None, key: str) -> None:
    if rule is None or value is None:
        return
    several = isinstance(value, (list, tuple))
    leaves = list(_leaves(value))
    is_right = all(rule.holds(leaf) for leaf in leaves) and bool(leaves or rule.may_be_empty)
    need(is_right, key, value, f'a list of {rule.several}' if several else rule.one)


def _leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, (list, tuple)):
        for one in value:
            yield from _leaves(one)
    elif value is not None:
        yield value


def _check_type(value: Any, hint: Any, key: str) -> None:
    need(_fits(value, hint), key, value, _in_words(hint))


def _fits(value: Any, hint: Any) -> bool:
    """Whether a value of a config is what an annotation says; lists are tuples there, too."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return any(_fits(value, one) for one in arguments)
    if hint is None or hint is type(None):
        return value is None
    if hint is bool:
        return isinstance(value, FLAGS)
    if hint is int:
        return is_whole(value)
    if hint is float:
        is_real = isinstance(value, numbers.Real) and not isinstance(value, bool)
        return is_real and not math.isnan(value)
    if hint is str:
        return isinstance(value, TEXTS)
    if origin is tuple and arguments[-1:] != (Ellipsis,):
        is_long = isinstance(value, (list, tuple)) and len(value) == len(arguments)
        return is_long and all(map(_fits, value, arguments))
    if hint in (list, tuple) or origin in (list, tuple, collections.abc.Sequence):
        is_list = isinstance(value, (list, tuple))
        return is_list and all(_fits(one, arguments[0]) for one in value if arguments)
    if hint in (dict, Mapping) or origin in (dict, Mapping):
        return isinstance(value, Mapping)
    return True  # built objects and what has no annotation


_WORDS: dict[Any, tuple[str, str]] = {
    bool: ('True or False', 'True or False'),
    int: ('a whole number', 'whole numbers'),
    float: ('a number', 'numbers'),
    str: ('text', 'texts'),
    dict: ('a dict', 'dicts'),
    type(None): ('None', 'None'),
}


def _in_words(hint: Any, *, several: bool = False) -> str:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return ' or '.join(dict.fromkeys(_in_words(one, several=several) for one in arguments))
    if origin is tuple and arguments[-1:] != (Ellipsis,):
        return f'{len(arguments)} {_in_words(arguments[0], several=True)}'
    if origin in (list, tuple, collections.abc.Sequence) and arguments:
        return f'{"lists" if several else "a list"} of {_in_words(arguments[0], several=True)}'
    if hint in (dict, Mapping) or origin in (dict, Mapping):
        hint = dict
    return _WORDS[hint][several] if hint in _WORDS else getattr(hint, '__name__', str(hint))
