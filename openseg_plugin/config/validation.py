"""Types and ranges of what a config says, checked before anything is built.

Only what this package, or mmengine on its behalf, would stumble over late or without a sentence.
"""

import logging
import math
import numbers
from collections.abc import Mapping, Sequence
from typing import Any

from mmengine.config import Config
from mmengine.hooks import CheckpointHook, Hook
from mmengine.logging import print_log
from mmengine.optim import _ParamScheduler
from mmengine.runner.priority import Priority
from mmseg.evaluation import IoUMetric as MMSegIoU
from mmseg.registry import HOOKS, METRICS
from torch.optim import SGD, Optimizer, RMSprop

from openseg_plugin.config import queries
from openseg_plugin.config.check_data import check_loader, note_repeated_classes
from openseg_plugin.config.check_model import (
    check_cascade,
    check_head,
    check_ignored,
    check_preprocessor,
    check_single_images,
    check_test_cfg,
    heads_of,
)
from openseg_plugin.config.options import (
    FLAGS,
    PAIR,
    TEXTS,
    WHOLE_FROM_0,
    WHOLE_FROM_1,
    check_options,
    is_list_of,
    is_number,
    is_pair,
    is_whole,
    need,
)
from openseg_plugin.errors import ConfigError

_IOU_METRICS = ('mIoU', 'mDice', 'mFscore')
_RANDOMNESS = ('seed', 'deterministic', 'diff_rank_seed')
_CLIPPING = {
    'norm': ('type', 'max_norm', 'norm_type', 'error_if_nonfinite', 'foreach'),
    'value': ('type', 'clip_value', 'foreach'),
}
# names in the results of our metrics and mmseg's whose spelling is often missed
_METRIC_NAMES = ('aAcc', 'mIoU', 'mAcc', 'mDice', 'mFscore', 'mPrecision', 'mRecall')


def check_training(cfg: Config) -> None:
    """Makes sure that a config can be trained, as far as that can be told before building.

    Raises:
        ConfigError: names key and value, and what is needed.
    """
    _check_parts(cfg)
    _check_optimizer(cfg)
    _check_loops(cfg)
    _check_hooks(cfg)
    check_ignored(cfg)
    _check_evaluation(cfg)
    check_single_images(cfg)
    for name in ('train_cfg', 'optim_wrapper'):
        need(isinstance(cfg.get(name), Mapping), name, cfg.get(name), 'a dict')
    schedules = cfg.get('param_scheduler')
    for key, one in _schedules(schedules, 'param_scheduler'):
        is_right = isinstance(one, _ParamScheduler) or (isinstance(one, Mapping) and 'type' in one)
        need(is_right, key, one, 'a dict with the type of a scheduler')
        if isinstance(one, Mapping) and queries.counts_iterations(cfg.train_cfg):
            _check_schedule(one, key)


def check_testing(cfg: Config) -> None:
    """Likewise for a test.

    Raises:
        ConfigError: names key and value, and what is needed.
    """
    _check_parts(cfg)
    _check_hooks(cfg)


# key -> types that it may have where it is there, and in words
_TYPES: dict[str, tuple[tuple[type, ...], str]] = {
    **dict.fromkeys(
        ('env_cfg', 'randomness', 'model', 'optim_wrapper', 'train_cfg', 'train_dataloader'),
        ((Mapping,), 'a dict'),
    ),
    **dict.fromkeys(
        ('val_dataloader', 'test_dataloader', 'default_hooks'), ((Mapping, type(None)), 'a dict')
    ),
    **dict.fromkeys(
        ('val_evaluator', 'test_evaluator'),
        ((Mapping, list, tuple, type(None)), 'a dict or a list of them'),
    ),
    'custom_hooks': ((list, tuple, type(None)), 'a list of hooks'),
    **dict.fromkeys(('env_cfg.mp_cfg', 'env_cfg.dist_cfg'), ((Mapping,), 'a dict')),
    **dict.fromkeys(
        (
            *('val_cfg', 'test_cfg', 'visualizer', 'log_processor', 'model_wrapper_cfg'),
            *('tta_model', 'auto_scale_lr'),
        ),
        ((Mapping, type(None)), 'a dict'),
    ),
    'param_scheduler': ((Mapping, list, tuple, type(None)), 'a dict or a list of them'),
    'env_cfg.mp_cfg.opencv_num_threads': ((int,), 'a whole number'),
    'env_cfg.mp_cfg.mp_start_method': ((str,), "'fork' or 'spawn'"),
    'default_scope': ((str, type(None)), 'a name'),
    'log_level': ((str, int), "a level such as 'INFO'"),
    'experiment_name': ((str, type(None)), 'text'),
    'load_from': ((*TEXTS, type(None)), 'text'),
    'work_dir': (TEXTS, 'a folder'),
    'resume': ((*FLAGS, type(None)), 'True or False'),
    **dict.fromkeys(
        (
            *('env_cfg.cudnn_benchmark', 'randomness.deterministic', 'randomness.diff_rank_seed'),
            *('log_processor.by_epoch', 'auto_scale_lr.enable'),
        ),
        (FLAGS, 'True or False'),
    ),
    'compile': ((*FLAGS, Mapping), 'True, False or a dict'),
    'frozen_parts': ((str, list, tuple, type(None)), 'a list of names of parts of the model'),
    'log_processor.custom_cfg': ((list, tuple, type(None)), 'a list of dicts'),
}


def check_types(cfg: Config) -> None:
    """Makes sure that the large parts of a config are what they must be.

    Raises:
        ConfigError: names key and value.
    """
    for key, (types, needed) in _TYPES.items():
        part: Any = cfg
        *parents, name = key.split('.')
        for parent in parents:
            part = part.get(parent) or {} if hasattr(part, 'get') else {}
        if name in part:
            need(isinstance(part[name], types), key, part[name], needed)


def _check_parts(cfg: Config) -> None:
    check_types(cfg)
    for key, loader in queries.loaders(cfg):
        check_loader(loader, key)
    note_repeated_classes(cfg)
    need(isinstance(cfg.get('model'), Mapping), 'model', cfg.get('model'), 'a dict')
    check_preprocessor(cfg.model.get('data_preprocessor'))
    check_test_cfg(cfg.model)
    check_cascade(cfg.model)
    for key, head in heads_of(cfg.model):
        check_head(head, key)
    if 'crop_size' in cfg:
        need(is_pair(cfg.crop_size), 'crop_size', cfg.crop_size, PAIR)
    check_options(cfg)
    _check_environment(cfg)
    seed = cfg.get('randomness', {}).get('seed')
    is_seed = seed is None or (is_whole(seed, 0) and seed < 2**32)
    need(is_seed, 'randomness.seed', seed, 'a whole number from 0 to 4294967295, or None')


def _check_environment(cfg: Config) -> None:
    processes = (cfg.get('env_cfg') or {}).get('mp_cfg') or {}
    method, threads = processes.get('mp_start_method'), processes.get('opencv_num_threads')
    methods = ('fork', 'spawn', 'forkserver')
    need(
        method is None or method in methods,
        'env_cfg.mp_cfg.mp_start_method',
        method,
        f'one of {", ".join(methods)}',
    )
    is_right = threads is None or is_whole(threads, 0)
    need(is_right, 'env_cfg.mp_cfg.opencv_num_threads', threads, WHOLE_FROM_0)
    unknown = [name for name in cfg.get('randomness') or {} if name not in _RANDOMNESS]
    if unknown:
        raise ConfigError(f'randomness has no {unknown[0]}: it has {", ".join(_RANDOMNESS)}')
    window = (cfg.get('log_processor') or {}).get('window_size')
    needed = WHOLE_FROM_1
    need(window is None or is_whole(window, 1), 'log_processor.window_size', window, needed)
    level = cfg.get('log_level', 'INFO')
    is_level = is_whole(level, 0) or is_whole(logging.getLevelName(str(level)))
    need(is_level, 'log_level', level, "a level such as 'INFO'")
    scaling = cfg.get('auto_scale_lr') or {}
    base = scaling.get('base_batch_size')
    is_right = is_whole(base, 1) or (base is None and not scaling.get('enable'))
    need(is_right, 'auto_scale_lr.base_batch_size', base, WHOLE_FROM_1)


def _check_loops(cfg: Config) -> None:
    loop = cfg.get('train_cfg')
    if isinstance(loop, Mapping):
        if 'type' in loop and 'by_epoch' in loop:
            raise ConfigError(
                f'train_cfg has type={loop["type"]!r} and by_epoch={loop["by_epoch"]!r}: the type '
                'says what is counted; leave train_cfg.by_epoch out'
            )
        pairs = loop.get('dynamic_intervals') or ()
        is_right = is_list_of(pairs, (list, tuple)) and all(
            len(pair) == 2 and is_whole(pair[0], 0) and is_whole(pair[1], 1) for pair in pairs
        )
        is_right = is_right and sorted(pair[0] for pair in pairs) == [pair[0] for pair in pairs]
        needed = 'pairs (begin, interval) of whole numbers above 0, the earliest first'
        need(is_right, 'train_cfg.dynamic_intervals', loop.get('dynamic_intervals'), needed)
    for key in ('val_cfg', 'test_cfg'):
        half = (cfg.get(key) or {}).get('fp16', False)
        need(isinstance(half, FLAGS), f'{key}.fp16', half, 'True or False')


def _check_evaluation(cfg: Config) -> None:
    """Loader, loop and metric of a split come together; the metrics' names are known."""
    for split in ('val', 'test'):
        keys = [f'{split}_{part}' for part in ('dataloader', 'cfg', 'evaluator')]
        given = [key for key in keys if cfg.get(key) is not None]
        if 0 < len(given) < len(keys):
            lacking = next(key for key in keys if key not in given)
            raise ConfigError(
                f'{lacking} is None and {given[0]} is given: give all of {", ".join(keys)}, or none'
            )
        for place, metric in queries.metrics(cfg, split):
            is_part = isinstance(metric, Mapping) and 'type' in metric
            need(is_part, place, metric, 'a dict with the type of a metric')
            names = metric.get('iou_metrics', _IOU_METRICS)
            listed = [names] if isinstance(names, str) else names
            is_right = isinstance(listed, (list, tuple)) and bool(listed)
            is_right = is_right and all(name in _IOU_METRICS for name in listed)
            need(is_right, f'{place}.iou_metrics', names, f'one or more of {_IOU_METRICS}')


def _check_optimizer(cfg: Config) -> None:
    wrapper = cfg.get('optim_wrapper')
    optimizer = wrapper.get('optimizer') if isinstance(wrapper, Mapping) else None
    key = 'optim_wrapper.optimizer'
    if isinstance(wrapper, Mapping):
        _check_wrapper(wrapper)
    if not isinstance(optimizer, Mapping):
        return
    for name in ('lr', 'momentum', 'weight_decay', 'eps'):
        value = optimizer.get(name)
        is_right = value is None or (is_number(value) and value >= 0)
        need(is_right, f'{key}.{name}', value, 'a finite number of 0 or more')
    if queries.is_optimizer(optimizer, SGD, RMSprop):  # of others it is a weight of the past too
        momentum = optimizer.get('momentum') or 0
        need(momentum <= 1, f'{key}.momentum', momentum, 'a number from 0 to 1')


def _check_wrapper(wrapper: Mapping) -> None:
    key = 'optim_wrapper'
    count = wrapper.get('accumulative_counts')
    is_count = count is None or is_whole(count, 1)
    need(is_count, f'{key}.accumulative_counts', count, WHOLE_FROM_1)
    if 'optimizer' in wrapper:
        optimizer = wrapper['optimizer']
        is_part = not isinstance(optimizer, Mapping) or 'type' in optimizer
        is_part &= isinstance(optimizer, (Mapping, Optimizer))
        need(is_part, f'{key}.optimizer', optimizer, 'a dict with the type of an optimizer')
    constructor = wrapper.get('constructor')
    is_name = constructor is None or isinstance(constructor, (str, type))
    need(is_name, f'{key}.constructor', constructor, 'the name of a class')
    clip = wrapper.get('clip_grad')
    need(clip is None or isinstance(clip, Mapping), f'{key}.clip_grad', clip, 'a dict')
    kind = (clip or {}).get('type', 'norm')
    known = _CLIPPING.get(kind, ())
    need(bool(known), f'{key}.clip_grad.type', kind, "'norm' or 'value'")
    for name, value in (clip or {}).items():
        if name not in known:
            raise ConfigError(
                f'{key}.clip_grad gives an option that does not exist, {name}: {kind} has '
                f'{", ".join(known[1:])}'
            )
        if name in ('max_norm', 'clip_value'):
            # inf, which is_number refuses: nothing is clipped, but the norm is in the log
            is_right = value == math.inf or (is_number(value) and value > 0)
            need(is_right, f'{key}.clip_grad.{name}', value, 'a number above 0')


def _schedules(part: Any, key: str) -> list[tuple[str, Any]]:
    """Every schedule with its key: of a list, and of the parts of several optimizers."""
    if isinstance(part, (list, tuple)):
        return [(f'{key}.{number}', one) for number, one in enumerate(part)]
    if isinstance(part, Mapping) and part and 'type' not in part:
        return [item for name in part for item in _schedules(part[name], f'{key}.{name}')]
    return [] if part is None else [(key, part)]


def _check_schedule(one: Mapping, key: str) -> None:
    for name in ('begin', 'end', 'power', 'eta_min'):
        value = one.get(name)
        is_right = value is None or (isinstance(value, numbers.Real) and float(value) >= 0)
        need(is_right, f'{key}.{name}', value, 'a number of 0 or more')
    if one.get('by_epoch', True) and not one.get('convert_to_iter_based'):
        print_log(
            f'{key} counts epochs, but the training counts iterations: it never changes anything; '
            f'give {key}.by_epoch=False',
            'current',
            logging.WARNING,
        )


def _check_hooks(cfg: Config) -> None:
    for name in ('default_hooks', 'custom_hooks'):
        kind, needed = (dict, 'a dict') if name == 'default_hooks' else (list, 'a list of hooks')
        value = cfg.get(name)
        is_right = value is None or isinstance(value, (kind, tuple))
        need(is_right, name, value, needed)
    for number, hook in enumerate(cfg.get('custom_hooks') or ()):
        is_hook = isinstance(hook, (Mapping, Hook))
        need(is_hook, f'custom_hooks.{number}', hook, 'a dict with the type of a hook')
    for name, hook in (cfg.get('default_hooks') or {}).items():
        is_hook = hook is None or isinstance(hook, (Mapping, Hook))
        need(is_hook, f'default_hooks.{name}', hook, 'a dict with the type of a hook, or None')
    metrics = [metric for _, metric in queries.metrics(cfg, 'val')]
    has_known_names = bool(metrics) and all(
        queries.is_ours(metric, METRICS) or queries.is_metric(metric, MMSegIoU)
        for metric in metrics
    )
    for key, hook in queries.hooks(cfg):
        interval = hook.get('interval')
        is_right = interval is None or interval == -1 or is_whole(interval, 1)
        need(is_right, f'{key}.interval', interval, WHOLE_FROM_1)
        need('type' in hook, key, hook, 'a dict with the type of a hook')
        place = hook.get('priority')
        is_place = place is None or isinstance(place, Priority) or is_whole(place, 0)
        is_place = is_place and (not is_whole(place) or place <= 100)
        is_place = is_place or (isinstance(place, str) and place.upper() in Priority.__members__)
        needed = f'a number from 0 to 100, or one of {", ".join(Priority.__members__)}'
        need(is_place, f'{key}.priority', place, needed)
        _check_rule(hook, key)
        if has_known_names:
            _check_metric_names(hook, key)
        if queries.is_hook(hook, CheckpointHook) and queries.counts_iterations(
            cfg.get('train_cfg') or {}
        ):
            _check_saving(hook, key)


def _check_metric_names(hook: Mapping, key: str) -> None:
    for name in ('save_best', 'monitor'):
        wanted = hook.get(name)
        for metric in wanted if isinstance(wanted, (list, tuple)) else [wanted]:
            meant = [one for one in _METRIC_NAMES if one.lower() == str(metric).lower()]
            if meant and metric not in meant:
                raise ConfigError(f'{key}.{name} is {metric!r}: did you mean {meant[0]}?')


def _check_rule(hook: Mapping, key: str) -> None:
    rule = hook.get('rule')
    rules = rule if isinstance(rule, (list, tuple)) else [rule]
    is_rule = all(one in ('greater', 'less', None) for one in rules)
    need(is_rule, f'{key}.rule', rule, "'greater' or 'less'")


def _check_saving(hook: Mapping, key: str) -> None:
    """A training by iterations is one epoch: a hook by epochs would save its end alone.

    mmengine's hook counts epochs unless it is told otherwise, ours as the training does, and those
    derived from either as their base, if they have no default of their own.
    """
    counts_epochs = hook.get('by_epoch', queries.default_of(hook, HOOKS, 'by_epoch'))
    if counts_epochs and hook.get('interval', -1) != -1:
        raise _saves_end_alone(key)


def check_built_hooks(hooks: Sequence[Hook], cfg: Config) -> None:
    """Makes sure of what only a hook that is built says, such as somebody's own checkpoint hook.

    Raises:
        ConfigError: names the class.
    """
    for hook in hooks if queries.counts_iterations(cfg.get('train_cfg') or {}) else ():
        if isinstance(hook, CheckpointHook) and hook.by_epoch and hook.interval != -1:
            raise _saves_end_alone(f'the hook {type(hook).__name__}')


def _saves_end_alone(key: str) -> ConfigError:
    return ConfigError(
        f'{key} counts epochs, but the training counts iterations: it would save nothing '
        'before the end; give it by_epoch=False and an interval in iterations'
    )
