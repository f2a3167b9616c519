"""Types and ranges of what a config says, checked before anything is built.

Only what this package, or mmengine on its behalf, would stumble over late or without a sentence.
"""

import difflib
import inspect
import logging
import math
import numbers
import os
from collections.abc import Mapping, Sequence
from typing import Any

from mmengine.config import Config
from mmengine.hooks import CheckpointHook, Hook
from mmengine.logging import print_log
from mmengine.optim import _ParamScheduler
from mmengine.registry import FUNCTIONS
from mmengine.runner.priority import Priority
from mmseg.evaluation import IoUMetric as MMSegIoU
from mmseg.models.decode_heads import ASPPHead, PSPHead, UPerHead
from mmseg.models.losses import CrossEntropyLoss as MMSegCrossEntropy
from mmseg.models.segmentors import CascadeEncoderDecoder, DepthEstimator
from mmseg.registry import HOOKS, METRICS
from torch.optim import SGD, Optimizer, RMSprop
from torch.utils.data import DataLoader, Sampler

from openseg_plugin.config import queries
from openseg_plugin.config.options import FLAGS, TEXTS, check_options, is_number, is_whole, need
from openseg_plugin.errors import ConfigError

_WHOLE_FROM_1 = 'a whole number of 1 or more'
_WHOLE_FROM_0 = 'a whole number of 0 or more'
_PAIR = 'two whole numbers above 0, (height, width)'
_PROCESS_COUNTS = ('WORLD_SIZE', 'SLURM_NTASKS', 'OMPI_COMM_WORLD_SIZE')
_IOU_METRICS = ('mIoU', 'mDice', 'mFscore')
_MOST = 4096  # of samples in a batch, processes, and pixels of padding
_IGNORED = 255  # where a head, a metric or a preprocessor says nothing
_MODES = ('whole', 'slide')
_RANDOMNESS = ('seed', 'deterministic', 'diff_rank_seed')
# those of the loader, and what mmengine takes out before
_LOADER_OPTIONS = {*inspect.signature(DataLoader).parameters, 'num_batch_per_epoch', '_scope_'}
_PREPROCESSOR_TEST = {'size', 'size_divisor'}
_TEST_CFG = ('mode', 'crop_size', 'stride', 'window_batch', 'with_logits', 'with_confidence')
_CLIPPING = {
    'norm': ('type', 'max_norm', 'norm_type', 'error_if_nonfinite', 'foreach'),
    'value': ('type', 'clip_value', 'foreach'),
}
# figures of our metrics and mmseg's whose spelling is often missed
_FIGURES = ('aAcc', 'mIoU', 'mAcc', 'mDice', 'mFscore', 'mPrecision', 'mRecall')


def check_training(cfg: Config) -> None:
    """Makes sure that a config can be trained, as far as that can be told before building.

    Raises:
        ConfigError: names key and value, and what is needed.
    """
    _check_parts(cfg)
    _check_optimizer(cfg)
    _check_loops(cfg)
    _check_hooks(cfg)
    _check_ignored(cfg)
    _check_evaluation(cfg)
    _check_single_images(cfg)
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
# the same for every dataset
_DATASET_TYPES: dict[str, tuple[tuple[type, ...], str]] = {
    **dict.fromkeys(('img_suffix', 'seg_map_suffix', 'ann_file'), (TEXTS, 'text')),
    'data_root': ((*TEXTS, type(None)), 'a folder'),
    'data_prefix': ((Mapping,), 'a dict of folders'),
    'reduce_zero_label': ((*FLAGS, type(None)), 'True or False'),
    'indices': ((int, list, tuple, type(None)), 'a number or a list of numbers'),
    'pipeline': ((list, tuple, type(None)), 'a list of transforms'),
    'metainfo': ((Mapping, type(None)), 'a dict'),
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


def _check_dataset(dataset: Any, place: str) -> None:
    need(isinstance(dataset, Mapping), place, dataset, 'a dict')
    for name, (types, needed) in _DATASET_TYPES.items():
        if name in dataset:
            need(isinstance(dataset[name], types), f'{place}.{name}', dataset[name], needed)
    for name, value in (dataset.get('data_prefix') or {}).items():
        is_folder = isinstance(value, (*TEXTS, type(None)))
        need(is_folder, f'{place}.data_prefix.{name}', value, 'a folder')
    known = _prefixes(queries.dataset_class(dataset))
    for name in (n for n in dataset.get('data_prefix') or {} if n not in known):
        if near := difflib.get_close_matches(name, known, n=1, cutoff=0.75):
            raise ConfigError(f'{place}.data_prefix.{name} is not read: did you mean {near[0]}?')
    indices = dataset.get('indices')
    needed = 'so many of the first samples, of the last below 0, or a list of numbers'
    need(not is_whole(indices) or indices != 0, f'{place}.indices', indices, needed)
    if isinstance(indices, (list, tuple)):
        is_right = all(isinstance(k, numbers.Integral) for k in indices)
        need(is_right, f'{place}.indices', indices, 'a number or a list of numbers')
    info = dataset.get('metainfo') or {}
    classes, palette = info.get('classes'), info.get('palette')
    key = f'{place}.metainfo'
    is_names = classes is None or isinstance(classes, str) or _is_list_of(classes, str)
    need(is_names and classes not in ((), []), f'{key}.classes', classes, 'a list of names')
    is_colors = palette is None or isinstance(palette, str)
    if not is_colors and isinstance(palette, (list, tuple)):
        is_colors = all(_is_color(color) for color in palette)
    need(is_colors, f'{key}.palette', palette, 'a list of colors [r, g, b] of numbers 0 to 255')
    if isinstance(classes, (list, tuple)) and palette and len(palette) != len(classes):
        raise ConfigError(
            f'{key} has {len(classes)} classes and {len(palette)} colors in its '
            'palette: give one color [r, g, b] per class, or no palette'
        )


def _note_repeated_classes(cfg: Config) -> None:
    for key, loader in queries.loaders(cfg):
        for place, dataset in queries.datasets(loader['dataset'], f'{key}.dataset'):
            classes = (dataset.get('metainfo') or {}).get('classes')
            if isinstance(classes, (list, tuple)) and len(set(classes)) < len(classes):
                twice = next(name for name in classes if classes.count(name) > 1)
                print_log(
                    f'{place}.metainfo.classes names {twice!r} twice: these are several classes, '
                    'which tables call by name and class id; give every class its own name if '
                    'that is a mistake',
                    'current',
                    logging.WARNING,
                )
                return  # the other splits have the same classes


def _prefixes(kind: Any) -> set[str]:
    """Entries of ``data_prefix`` that a dataset of ours or of mmseg reads; empty: who knows."""
    if getattr(kind, '__module__', '').partition('.')[0] not in ('openseg_plugin', 'mmseg'):
        return set()
    for one in (one for one in inspect.getmro(kind) if '__init__' in vars(one)):
        option = inspect.signature(vars(one)['__init__']).parameters.get('data_prefix')
        if option is not None and isinstance(option.default, Mapping):
            return set(option.default)
    return set()


def _is_list_of(value: Any, kind: type | tuple[type, ...]) -> bool:
    return isinstance(value, (list, tuple)) and all(isinstance(item, kind) for item in value)


def _is_color(value: Any) -> bool:
    is_triple = isinstance(value, (list, tuple)) and len(value) == 3
    return is_triple and all(is_whole(v, 0) and v <= 255 for v in value)


def _is_pair(value: Any) -> bool:
    return (
        isinstance(value, (list, tuple)) and len(value) == 2 and all(is_whole(v, 1) for v in value)
    )


def _check_parts(cfg: Config) -> None:
    check_types(cfg)
    for key, loader in queries.loaders(cfg):
        _check_loader(loader, key)
    _note_repeated_classes(cfg)
    need(isinstance(cfg.get('model'), Mapping), 'model', cfg.get('model'), 'a dict')
    _check_preprocessor(cfg.model.get('data_preprocessor'))
    _check_test_cfg(cfg.model)
    _check_cascade(cfg.model)
    for key, head in _heads(cfg.model):
        _check_head(head, key)
    if 'crop_size' in cfg:
        need(_is_pair(cfg.crop_size), 'crop_size', cfg.crop_size, _PAIR)
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
    need(is_right, 'env_cfg.mp_cfg.opencv_num_threads', threads, _WHOLE_FROM_0)
    unknown = [name for name in cfg.get('randomness') or {} if name not in _RANDOMNESS]
    if unknown:
        raise ConfigError(f'randomness has no {unknown[0]}: it has {", ".join(_RANDOMNESS)}')
    window = (cfg.get('log_processor') or {}).get('window_size')
    needed = _WHOLE_FROM_1
    need(window is None or is_whole(window, 1), 'log_processor.window_size', window, needed)
    level = cfg.get('log_level', 'INFO')
    is_level = is_whole(level, 0) or is_whole(logging.getLevelName(str(level)))
    need(is_level, 'log_level', level, "a level such as 'INFO'")
    scaling = cfg.get('auto_scale_lr') or {}
    base = scaling.get('base_batch_size')
    is_right = is_whole(base, 1) or (base is None and not scaling.get('enable'))
    need(is_right, 'auto_scale_lr.base_batch_size', base, _WHOLE_FROM_1)


def _check_cascade(model: Mapping) -> None:
    """Our heads score their regions themselves; a cascade would hand them a head's before."""
    heads = model.get('decode_head')
    if not queries.is_model(model, CascadeEncoderDecoder) or not isinstance(heads, (list, tuple)):
        return
    for number, head in enumerate(heads):
        if number and queries.is_ours(head):
            raise ConfigError(
                f'model.type is {model["type"]} and model.decode_head.{number} is '
                f'{head["type"]}, which needs no head before it: give that one alone as '
                "model.decode_head, with region=dict(channels=...), and model.type='EncoderDecoder'"
            )


def _check_loader(loader: Mapping, key: str) -> None:
    for name, least, needed in (
        ('batch_size', 1, _WHOLE_FROM_1),
        ('num_workers', 0, _WHOLE_FROM_0),
        ('prefetch_factor', 1, _WHOLE_FROM_1),
    ):
        value = loader.get(name)
        is_right = value is None or (is_whole(value, least) and value <= _MOST)
        if name == 'batch_size' and value is None and key.startswith('train'):
            is_right = 'batch_size' not in loader
        need(is_right, f'{key}.{name}', value, f'{needed}, at most {_MOST}')
    if loader.get('num_workers', 0) == 0:
        for name in ('persistent_workers', 'prefetch_factor'):
            if loader.get(name):
                raise ConfigError(
                    f'{key}.num_workers is 0 and {key}.{name} is {loader[name]!r}, which needs '
                    f'loading processes: give {key}.{name}='
                    f'{False if name == "persistent_workers" else None} too'
                )
    need(
        isinstance(loader.get('dataset'), Mapping),
        f'{key}.dataset',
        loader.get('dataset'),
        'a dict',
    )
    # None, if it is given, is PyTorch's own order
    sampler = loader.get('sampler')
    is_right = isinstance(sampler, Mapping | Sampler) or (sampler is None and 'sampler' in loader)
    need(is_right, f'{key}.sampler', sampler, 'a dict')
    collate = loader.get('collate_fn')
    is_right = collate is None or isinstance(collate, Mapping) or callable(collate)
    if isinstance(collate, Mapping):
        is_right = callable(queries.resolve(collate, FUNCTIONS))
    need(is_right, f'{key}.collate_fn', collate, 'a dict with the type of a function')
    _check_loader_options(loader, key)
    for place, dataset in queries.datasets(loader['dataset'], f'{key}.dataset'):
        _check_dataset(dataset, place)


def _check_loader_options(loader: Mapping, key: str) -> None:
    for name in ('drop_last', 'pin_memory', 'persistent_workers', 'shuffle'):
        value = loader.get(name, False)
        is_right = isinstance(value, FLAGS) or (value is None and name == 'shuffle')
        need(is_right, f'{key}.{name}', value, 'True or False')
    timeout = loader.get('timeout', 0)
    need(is_number(timeout) and timeout >= 0, f'{key}.timeout', timeout, 'seconds, 0 or more')
    batches = loader.get('num_batch_per_epoch')
    needed = f'{_WHOLE_FROM_1}, or None'
    need(batches is None or is_whole(batches, 1), f'{key}.num_batch_per_epoch', batches, needed)
    if 'num_workers' in loader:
        need(loader['num_workers'] is not None, f'{key}.num_workers', None, _WHOLE_FROM_0)
    sampler = loader.get('sampler')
    if sampler is not None:
        is_part = not isinstance(sampler, Mapping) or 'type' in sampler  # others are built already
        need(is_part, f'{key}.sampler', sampler, 'a dict with a type')
        if loader.get('shuffle'):
            raise ConfigError(
                f'{key} has a sampler and shuffle=True, and the sampler decides about the order: '
                f'leave {key}.shuffle out, and give {key}.sampler.shuffle=True'
            )
    batch_sampler = loader.get('batch_sampler')
    if batch_sampler is not None:
        is_part = isinstance(batch_sampler, Mapping) and 'type' in batch_sampler
        need(is_part, f'{key}.batch_sampler', batch_sampler, 'a dict with a type')
    unknown = [name for name in loader if name not in _LOADER_OPTIONS]
    if unknown:
        near = difflib.get_close_matches(unknown[0], _LOADER_OPTIONS, n=1)
        hint = f': did you mean {near[0]}?' if near else ': see torch.utils.data.DataLoader'
        raise ConfigError(f'{key} gives an option that does not exist, {unknown[0]}{hint}')


def _check_preprocessor(part: Any) -> None:
    key = 'model.data_preprocessor'
    need(part is None or isinstance(part, Mapping), key, part, 'a dict')
    if not part:
        return
    lengths = set()
    for name in ('mean', 'std'):
        values = part.get(name)
        if values is None:
            continue
        is_list = isinstance(values, (list, tuple)) and all(is_number(v) for v in values)
        need(bool(values) and is_list, f'{key}.{name}', values, 'one number per channel')
        lengths.add(len(values))
        need(name == 'mean' or min(values) > 0, f'{key}.{name}', values, 'numbers above 0')
    if len({part.get(name) is None for name in ('mean', 'std')}) > 1:
        raise ConfigError(
            f'{key}.mean is {part.get("mean")!r} and {key}.std is {part.get("std")!r}: give both '
            'or neither'
        )
    if len(lengths) > 1 and 1 not in lengths:
        raise ConfigError(
            f'{key}.mean is {part["mean"]!r} and {key}.std is {part["std"]!r}: give one number per '
            'channel in both'
        )
    for place, options in ((key, part), (f'{key}.test_cfg', part.get('test_cfg') or {})):
        need(isinstance(options, Mapping), place, options, 'a dict')
        size, divisor = options.get('size'), options.get('size_divisor')
        need(size is None or _is_pair(size), f'{place}.size', size, _PAIR)
        is_divisor = divisor is None or (is_whole(divisor, 1) and divisor <= _MOST)
        need(is_divisor, f'{place}.size_divisor', divisor, f'{_WHOLE_FROM_1}, at most {_MOST}')
        if size is not None and divisor is not None:
            raise ConfigError(f'{place} has size and size_divisor: give one of them')
    tests = part.get('test_cfg') or {}
    unknown = [name for name in tests if name not in _PREPROCESSOR_TEST]
    if unknown or (tests and not {'size', 'size_divisor'} & tests.keys()):
        raise ConfigError(
            f'{key}.test_cfg is {dict(tests)!r}: give size=(height, width) or size_divisor, or '
            'leave it out'
        )


def _check_test_cfg(model: Mapping) -> None:
    part, key = model.get('test_cfg'), 'model.test_cfg'
    need(part is None or isinstance(part, Mapping), key, part, 'a dict')
    if not part:
        return
    for name in ('with_logits', 'with_confidence'):
        value = part.get(name)
        need(value is None or isinstance(value, FLAGS), f'{key}.{name}', value, 'True or False')
    for name in (name for name in part if name not in _TEST_CFG):
        if near := difflib.get_close_matches(name, _TEST_CFG, n=1, cutoff=0.75):
            raise ConfigError(f'{key}.{name} does not exist: did you mean {near[0]}?')
    mode = part.get('mode', 'whole')
    has_flips = queries.is_model(model, DepthEstimator)
    is_mode = mode in _MODES or (has_flips and mode == 'slide_flip')
    need(is_mode, f'{key}.mode', mode, "'whole' or 'slide'")
    if mode == 'whole':
        return
    crop, stride = part.get('crop_size'), part.get('stride')
    need(_is_pair(crop), f'{key}.crop_size', crop, _PAIR)
    need(_is_pair(stride), f'{key}.stride', stride, _PAIR)
    if stride[0] > crop[0] or stride[1] > crop[1]:
        raise ConfigError(
            f'{key}.stride is {stride!r} and {key}.crop_size is {crop!r}: the windows would leave '
            'gaps; give a stride no larger than the crop'
        )


def _check_head(head: Mapping, key: str) -> None:
    classes, ignored = head.get('num_classes'), head.get('ignore_index')
    need(classes is None or is_whole(classes, 1), f'{key}.num_classes', classes, _WHOLE_FROM_1)
    is_index = ignored is None or (is_whole(ignored, -(2**31)))
    need(is_index, f'{key}.ignore_index', ignored, 'a whole number')
    for name in (n for n in head if n.startswith('loss_')):
        losses = head[name]
        listed = isinstance(losses, (list, tuple))
        for number, loss in enumerate(losses if listed else [losses]):
            if isinstance(loss, Mapping):
                _check_loss(loss, f'{key}.{name}.{number}' if listed else f'{key}.{name}', classes)


def _check_loss(loss: Mapping, key: str, num_classes: int | None) -> None:
    weight = loss.get('loss_weight')
    need(weight is None or is_number(weight), f'{key}.loss_weight', weight, 'a number')
    per_class = loss.get('class_weight')
    if per_class is None or (isinstance(per_class, str) and not queries.is_ours(loss)):
        return  # mmseg's own losses read them from a file
    needed = f'a list of {num_classes or "as many"} numbers, one per class'
    is_list = isinstance(per_class, (list, tuple)) and all(is_number(v) for v in per_class)
    need(is_list and all(v >= 0 for v in per_class), f'{key}.class_weight', per_class, needed)


def _check_loops(cfg: Config) -> None:
    loop = cfg.get('train_cfg')
    if isinstance(loop, Mapping):
        if 'type' in loop and 'by_epoch' in loop:
            raise ConfigError(
                f'train_cfg has type={loop["type"]!r} and by_epoch={loop["by_epoch"]!r}: the type '
                'says what is counted; leave train_cfg.by_epoch out'
            )
        pairs = loop.get('dynamic_intervals') or ()
        is_right = _is_list_of(pairs, (list, tuple)) and all(
            len(pair) == 2 and is_whole(pair[0], 0) and is_whole(pair[1], 1) for pair in pairs
        )
        is_right = is_right and sorted(pair[0] for pair in pairs) == [pair[0] for pair in pairs]
        needed = 'pairs (begin, interval) of whole numbers above 0, the earliest first'
        need(is_right, 'train_cfg.dynamic_intervals', loop.get('dynamic_intervals'), needed)
    for key in ('val_cfg', 'test_cfg'):
        half = (cfg.get(key) or {}).get('fp16', False)
        need(isinstance(half, FLAGS), f'{key}.fp16', half, 'True or False')


def _check_single_images(cfg: Config) -> None:
    """BatchNorm has nothing to normalize by where an image is pooled to one value per channel."""
    several = any(os.environ.get(name, '1') != '1' for name in _PROCESS_COUNTS)  # SyncBN gathers
    if cfg.train_dataloader.get('batch_size', 1) > 1 or several:
        return
    for key, head in _heads(cfg.model):
        pools = getattr(queries.model_class(head), 'pools_whole_image', False)
        if not (pools or queries.is_model(head, PSPHead, ASPPHead, UPerHead)):
            continue
        norm = head.get('norm_cfg')
        if isinstance(norm, Mapping) and norm.get('type') in ('BN', 'SyncBN'):
            raise ConfigError(
                f'train_dataloader.batch_size is 1 and {key} is {head["type"]}, which pools the '
                'whole image: normalization needs several values per channel; give 2 or more'
            )


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
        for place, metric in _metrics(cfg, split):
            is_part = isinstance(metric, Mapping) and 'type' in metric
            need(is_part, place, metric, 'a dict with the type of a metric')
            names = metric.get('iou_metrics', _IOU_METRICS)
            listed = [names] if isinstance(names, str) else names
            is_right = isinstance(listed, (list, tuple)) and bool(listed)
            is_right = is_right and all(name in _IOU_METRICS for name in listed)
            need(is_right, f'{place}.iou_metrics', names, f'one or more of {_IOU_METRICS}')


def _metrics(cfg: Config, split: str) -> list[tuple[str, Any]]:
    metrics = cfg.get(f'{split}_evaluator')
    if isinstance(metrics, (list, tuple)):
        return [(f'{split}_evaluator.{k}', metric) for k, metric in enumerate(metrics)]
    return [] if metrics is None else [(f'{split}_evaluator', metrics)]


def _check_ignored(cfg: Config) -> None:
    """What the loss leaves out must be what the metric leaves out, and what padding is."""
    heads = _heads(cfg.model)
    for key, head in heads:
        _note_mmseg_average(head, key)
    if not heads:
        return
    key, head = heads[0]
    ignored, classes = head.get('ignore_index', _IGNORED), head.get('num_classes') or 0
    said = f'{key}.ignore_index is {ignored}'
    for split in ('val', 'test'):
        for place, metric in _metrics(cfg, split):
            if not isinstance(metric, Mapping):
                continue
            other = metric.get('ignore_index', _IGNORED)
            if other == ignored or not queries.leaves_out_a_label(metric):
                continue
            text = f'{said} and {place}.ignore_index is {other}'
            if not any(0 <= value < classes for value in (ignored, other)):
                raise ConfigError(
                    f'{text}: pixels that the loss leaves out would count as mistakes; give both '
                    'the value that labels have there'
                )
            print_log(
                f'{text}: the metric counts pixels that the loss leaves out, or the other way '
                'round; give both the same value unless that is what you want',
                'current',
                logging.WARNING,
            )
    part = cfg.model.get('data_preprocessor') or {}
    padding = part.get('seg_pad_val', _IGNORED)
    if (part.get('size') or part.get('size_divisor')) and padding != ignored:
        print_log(
            f'{said} and model.data_preprocessor.seg_pad_val is {padding}: padded pixels are '
            f'trained as label {padding}; give seg_pad_val={ignored}',
            'current',
            logging.WARNING,
        )


def _note_mmseg_average(head: Mapping, key: str) -> None:
    """mmseg's cross entropy divides by all pixels, so a mostly ignored image hardly counts."""
    losses: Any = head.get('loss_decode')
    listed = isinstance(losses, (list, tuple))
    for number, loss in enumerate(losses if listed else [losses]):
        if not isinstance(loss, Mapping) or 'avg_non_ignore' in loss:
            continue
        if queries.is_model(loss, MMSegCrossEntropy):
            place = f'{key}.loss_decode.{number}' if listed else f'{key}.loss_decode'
            print_log(
                f'{place} is the CrossEntropyLoss of mmseg, which divides by all pixels, ignored '
                'ones too: an image that is wholly ignored has loss 0 and lowers the mean; give '
                'avg_non_ignore=True to divide by the labelled pixels',
                'current',
            )


def _heads(model: Mapping) -> list[tuple[str, Mapping]]:
    found = []
    for name in ('decode_head', 'auxiliary_head'):
        heads: Any = model.get(name)
        listed = isinstance(heads, (list, tuple))
        for number, head in enumerate(heads if listed else [heads]):
            if isinstance(head, Mapping):
                found.append((f'model.{name}.{number}' if listed else f'model.{name}', head))
    # of a cascade the last head decides
    first = [item for item in found if item[0].startswith('model.decode_head')]
    return [*first[-1:], *first[:-1], *found[len(first) :]]


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
    need(is_count, f'{key}.accumulative_counts', count, _WHOLE_FROM_1)
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
    """Every schedule with its key: of a list, and of the parts of several optimisers."""
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
    metrics = [metric for _, metric in _metrics(cfg, 'val')]
    has_figures = bool(metrics) and all(
        queries.is_ours(metric, METRICS) or queries.is_metric(metric, MMSegIoU)
        for metric in metrics
    )
    for key, hook in queries.hooks(cfg):
        interval = hook.get('interval')
        is_right = interval is None or interval == -1 or is_whole(interval, 1)
        need(is_right, f'{key}.interval', interval, _WHOLE_FROM_1)
        need('type' in hook, key, hook, 'a dict with the type of a hook')
        place = hook.get('priority')
        is_place = place is None or isinstance(place, Priority) or is_whole(place, 0)
        is_place = is_place and (not is_whole(place) or place <= 100)
        is_place = is_place or (isinstance(place, str) and place.upper() in Priority.__members__)
        needed = f'a number from 0 to 100, or one of {", ".join(Priority.__members__)}'
        need(is_place, f'{key}.priority', place, needed)
        _check_rule(hook, key)
        if has_figures:
            _check_figures(hook, key)
        if queries.is_hook(hook, CheckpointHook) and queries.counts_iterations(
            cfg.get('train_cfg') or {}
        ):
            _check_saving(hook, key)


def _check_figures(hook: Mapping, key: str) -> None:
    for name in ('save_best', 'monitor'):
        wanted = hook.get(name)
        for figure in wanted if isinstance(wanted, (list, tuple)) else [wanted]:
            meant = [one for one in _FIGURES if one.lower() == str(figure).lower()]
            if meant and figure not in meant:
                raise ConfigError(f'{key}.{name} is {figure!r}: did you mean {meant[0]}?')


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
