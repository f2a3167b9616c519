"""Parts of a config, found by what their ``type`` stands for, never by how it is spelled.

``type`` may be bare, with a scope, or a class; what it stands for is asked of the registries, so a
sub-class of somebody else's is found too. No other module compares strings of ``type``.
"""

import inspect
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mmengine.config import Config
from mmengine.registry import Registry
from mmengine.runner import IterBasedTrainLoop
from mmseg.registry import (
    DATASETS,
    HOOKS,
    LOOPS,
    METRICS,
    MODELS,
    OPTIM_WRAPPERS,
    OPTIMIZERS,
    TRANSFORMS,
    WEIGHT_INITIALIZERS,
)

from openseg_plugin.registry import SCOPE

_MMENGINE_HOOKS = {
    *('runtime_info', 'timer', 'sampler_seed', 'logger', 'param_scheduler', 'checkpoint')
}
_NESTED = ('transforms', 'transform')  # arguments of transforms that hold transforms


def resolve(part: Any, registry: Registry) -> Any:
    """What ``type`` of a part of a config stands for; the class of an object that is built.

    None where there is no type, or nobody has registered it.
    """
    if not isinstance(part, Mapping):
        return type(part)
    kind = part.get('type')
    if not isinstance(kind, str):
        return kind
    try:
        return registry.get(kind)
    except Exception:  # whatever importing somebody's module may raise
        return None


def is_a(part: Any, registry: Registry, *classes: type) -> bool:
    """Whether a part of a config is, or is derived from, one of ``classes``."""
    found = resolve(part, registry)
    return isinstance(found, type) and issubclass(found, classes)


def model_class(model: Any) -> Any:
    """Class of a model, head or loss in a config; None if nobody knows it."""
    return resolve(model, MODELS)


def dataset_class(dataset: Any) -> Any:
    """Class of a dataset in a config; None if nobody knows it."""
    return resolve(dataset, DATASETS)


def is_ours(part: Any, registry: Registry = MODELS) -> bool:
    """Whether the class is of this package."""
    module = getattr(resolve(part, registry), '__module__', '')
    return module.partition('.')[0] == SCOPE


def default_of(part: Any, registry: Registry, option: str) -> Any:
    """What a part is built with where it does not say; a sub-class takes its base's default.

    None where a class of this package, or one that does not name the option, decides.
    """
    made = (vars(one).get('__init__') for one in resolve(part, registry).__mro__)
    first = next(one for one in made if one is not None)
    known = inspect.signature(first).parameters.get(option)
    return None if known is None or known.default is known.empty else known.default


def is_model(model: Any, *classes: type) -> bool:
    """Whether a model of a config is one of ``classes``."""
    return is_a(model, MODELS, *classes)


def is_pretrained(init_cfg: Any) -> bool:
    """Whether weights come from a file."""
    from mmengine.model import PretrainedInit

    return isinstance(init_cfg, Mapping) and is_a(init_cfg, WEIGHT_INITIALIZERS, PretrainedInit)


def is_wrapper(optim_wrapper: Mapping, *classes: type) -> bool:
    """Whether an optimizer wrapper is exactly one of ``classes``; OptimWrapper is the default."""
    part = {'type': 'OptimWrapper', **optim_wrapper}
    return resolve(part, OPTIM_WRAPPERS) in classes


def counts_iterations(train_cfg: Any) -> bool:
    """Whether the training loop counts iterations."""
    if is_a(train_cfg, LOOPS, IterBasedTrainLoop):
        return True
    return 'type' not in train_cfg and not train_cfg.get('by_epoch', True)


def datasets(dataset: Any, key: str = 'dataset') -> Iterator[tuple[str, Any]]:
    """The datasets inside wrappers (concatenation, repetition, mosaics), with their keys."""
    if isinstance(dataset, (list, tuple)):
        for number, part in enumerate(dataset):
            yield from datasets(part, f'{key}.{number}')
    elif 'datasets' in dataset:
        yield from datasets(dataset['datasets'], f'{key}.datasets')
    elif 'dataset' in dataset:
        yield from datasets(dataset['dataset'], f'{key}.dataset')
    else:
        yield key, dataset


def with_pipelines(dataset: Any, key: str = 'dataset') -> Iterator[tuple[str, Any]]:
    """Every dataset or wrapper that has a pipeline of its own, outermost first, with its key."""
    if isinstance(dataset, (list, tuple)):
        for number, part in enumerate(dataset):
            yield from with_pipelines(part, f'{key}.{number}')
        return
    if dataset.get('pipeline') is not None:
        yield key, dataset
    for inner in ('datasets', 'dataset'):
        if inner in dataset:
            yield from with_pipelines(dataset[inner], f'{key}.{inner}')


def loaders(cfg: Mapping) -> Iterator[tuple[str, Any]]:
    """Key and config of the train, val and test dataloader, as far as they are there."""
    for split in ('train', 'val', 'test'):
        key = f'{split}_dataloader'
        if isinstance(cfg.get(key), Mapping):
            yield key, cfg[key]


def is_step(step: Any, *classes: type) -> bool:
    """Whether a transform, in a config or built, is one of ``classes``."""
    return is_a(step, TRANSFORMS, *classes)


def position_of(pipeline: Sequence[Any], *classes: type) -> int | None:
    """Place of the first transform that is one of ``classes``; None without any."""
    return next((k for k, step in enumerate(pipeline) if is_step(step, *classes)), None)


def steps(pipeline: Any, key: str = 'pipeline') -> Iterator[tuple[str, Any]]:
    """Every transform of a pipeline, also inside other transforms, with its key."""
    for number, step in enumerate(pipeline):
        if isinstance(step, (list, tuple)):
            yield from steps(step, f'{key}.{number}')
            continue
        yield f'{key}.{number}', step
        if isinstance(step, Mapping):
            for name in _NESTED:
                if isinstance(step.get(name), (list, tuple)):
                    yield from steps(step[name], f'{key}.{number}.{name}')


def loads_sample(step: Any) -> bool:
    """Whether a transform reads an image or a label: by its class's name, Load..."""
    return getattr(resolve(step, TRANSFORMS), '__name__', '').startswith('Load')


def loads_labels(step: Any) -> bool:
    """Whether a transform reads a label or makes something of one that was read."""
    from mmcv.transforms import LoadAnnotations

    from openseg_plugin.datasets.transforms import LoadLabels

    targets = resolve({'type': f'{SCOPE}.SegFixTargets'}, TRANSFORMS)
    return is_step(step, LoadAnnotations, LoadLabels, targets)


def without_labels(pipeline: Sequence[Any]) -> list[Any]:
    """The pipeline for images that have no label."""
    return [step for step in pipeline if not loads_labels(step)]


def hooks(cfg: Mapping) -> Iterator[tuple[str, Any]]:
    """Every hook of a config with its key: default and custom ones."""
    for name, hook in (cfg.get('default_hooks') or {}).items():
        if isinstance(hook, Mapping):
            yield f'default_hooks.{name}', hook
    for number, hook in enumerate(cfg.get('custom_hooks') or ()):
        if isinstance(hook, Mapping):
            yield f'custom_hooks.{number}', hook


def find_hook(cfg: Mapping, *classes: type) -> Any | None:
    """The first hook that is one of ``classes``, to be changed in place; None without any."""
    return next((hook for _, hook in hooks(cfg) if is_a(hook, HOOKS, *classes)), None)


def is_hook(hook: Any, *classes: type) -> bool:
    """Whether a hook of a config is one of ``classes``."""
    return is_a(hook, HOOKS, *classes)


def is_optimizer(optimizer: Any, *classes: type) -> bool:
    """Whether an optimizer of a config is one of ``classes``."""
    return is_a(optimizer, OPTIMIZERS, *classes)


def remove_hooks(cfg: Config, *classes: type) -> None:
    """Takes the hooks that are one of ``classes`` out of a config."""
    found = {key for key, hook in hooks(cfg) if is_a(hook, HOOKS, *classes)}
    for name in [n for n in cfg.get('default_hooks') or {} if f'default_hooks.{n}' in found]:
        if name in _MMENGINE_HOOKS:
            cfg.default_hooks[name] = None  # mmengine puts its own in the place of one that lacks
        else:
            cfg.default_hooks.pop(name)
    custom = cfg.get('custom_hooks')
    if custom:
        cfg.custom_hooks = [h for k, h in enumerate(custom) if f'custom_hooks.{k}' not in found]


def leaves_out_a_label(metric: Any) -> bool:
    """Whether a metric has an ``ignore_index``."""
    found = resolve(metric, METRICS)
    return isinstance(found, type) and 'ignore_index' in inspect.signature(found).parameters


def is_metric(metric: Any, *classes: type) -> bool:
    """Whether a metric of a config is one of ``classes``."""
    return is_a(metric, METRICS, *classes)


def metrics(cfg: Mapping, split: str) -> list[tuple[str, Any]]:
    """Metrics of a split, with their keys."""
    found = cfg.get(f'{split}_evaluator')
    if isinstance(found, (list, tuple)):
        return [(f'{split}_evaluator.{k}', metric) for k, metric in enumerate(found)]
    return [] if found is None else [(f'{split}_evaluator', found)]
