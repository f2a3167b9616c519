"""Which part of a config an error came from. Imports nothing heavy."""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from types import FrameType
from typing import Any

from openseg_plugin.errors import UserError

KEY_ATTRIBUTE = 'openseg_plugin_config_key'


@contextlib.contextmanager
def naming_key(cfg: Any) -> Iterator[None]:
    """Errors that leave the block know the key of the config that was being built, if one was.

    :func:`config_key` tells it. The mistakes that have their own sentence stay as they are.
    """
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        whole = dict(cfg.items())  # mmengine's Config is no Mapping
        keys = (
            _key_of(part, whole, _is_same) or _key_of(part, whole, _is_like)
            for part, _ in reversed(parts_being_built(error))
        )
        key = next(filter(None, keys), None) or _key_of_method(error)
        if key:
            with contextlib.suppress(AttributeError, TypeError):
                setattr(error, KEY_ATTRIBUTE, key)
        raise


# method of mmengine's Runner -> key of the config that it works on
_METHODS = {
    'setup_env': 'env_cfg',
    'set_randomness': 'randomness',
    'build_logger': 'log_level',
    'build_log_processor': 'log_processor',
    'build_visualizer': 'visualizer',
    'register_default_hooks': 'default_hooks',
    'register_custom_hooks': 'custom_hooks',
    'build_model': 'model',
    'wrap_model': 'model_wrapper_cfg',
    'build_optim_wrapper': 'optim_wrapper',
    'build_param_scheduler': 'param_scheduler',
    'build_dataloader': 'a dataloader',
    'build_evaluator': 'an evaluator',
    'build_train_loop': 'train_cfg',
    'build_val_loop': 'val_cfg',
    'build_test_loop': 'test_cfg',
}


def _key_of_method(error: BaseException) -> str | None:
    """Key of the innermost method of the Runner that works on a part of the config."""
    names = []
    traceback = error.__traceback__
    while traceback is not None:
        names.append(traceback.tb_frame.f_code.co_name)
        traceback = traceback.tb_next
    return next((_METHODS[name] for name in reversed(names) if name in _METHODS), None)


def config_key(error: BaseException) -> str | None:
    """Dotted key of the part that was being built when ``error`` came; None if unknown."""
    return getattr(error, KEY_ATTRIBUTE, None)


def parts_being_built(error: BaseException) -> list[tuple[Mapping, Mapping]]:
    """Parts of configs that mmengine was building when ``error`` came, outermost first.

    Each with the arguments that its class was given.
    """
    frames: list[FrameType] = []
    traceback = error.__traceback__
    while traceback is not None:
        frames.append(traceback.tb_frame)
        traceback = traceback.tb_next
    return [
        (frame.f_locals['cfg'], frame.f_locals.get('args') or {})
        for frame in frames
        if frame.f_code.co_name == 'build_from_cfg' and isinstance(frame.f_locals['cfg'], Mapping)
    ]


def unknown_option(error: TypeError) -> str | None:
    """Name of an option of a config that no class takes; None if ``error`` says something else.

    An argument that our own code passes wrongly is none: the config does not give it.
    """
    text = str(error)
    if 'unexpected keyword argument' not in text:
        return None
    _, name, *_ = [*text.rpartition('unexpected keyword argument')[2].split("'"), '', '']
    if error.__traceback__ is None:  # of another process: nothing speaks against the config
        return name or None
    return name if any(name in args for _, args in parts_being_built(error)) else None


def _key_of(
    part: Mapping, cfg: Any, matches: Callable[[Mapping, Mapping], bool], key: str = ''
) -> str | None:
    """Key of the first part of ``cfg`` that ``matches``; None without any."""
    if isinstance(cfg, Mapping) and key and matches(part, cfg):
        return key
    items: Any = ()
    if isinstance(cfg, Mapping):
        items = cfg.items()
    elif isinstance(cfg, (list, tuple)):
        items = enumerate(cfg)
    for name, value in items:
        found = _key_of(part, value, matches, f'{key}.{name}' if key else str(name))
        if found:
            return found
    return None


def _is_same(part: Mapping, other: Mapping) -> bool:
    """Whether all that the config says of ``other`` is in the part that was being built."""
    return part is other or (other.keys() <= part.keys() and _is_like(part, other))


def _is_like(part: Mapping, other: Mapping) -> bool:
    """Whether what both say is equal, their type too: builders add some entries and use others."""
    if 'type' not in part or part['type'] != other.get('type'):
        return False
    try:
        return all(bool(part[name] == other[name]) for name in part.keys() & other.keys())
    except (TypeError, ValueError, RuntimeError):  # arrays compare element by element
        return False
