"""Which part of a config an error came from. Imports nothing heavy."""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from types import FrameType
from typing import Any

from openseg_plugin.errors import ConfigError, UserError

KEY_ATTRIBUTE = 'openseg_plugin_config_key'
RUNNING_ATTRIBUTE = 'openseg_plugin_part_was_running'
OPTION_ATTRIBUTE = 'openseg_plugin_unknown_option'


@contextlib.contextmanager
def naming_key(cfg: Any) -> Iterator[None]:
    """Errors that leave the block know the key of the config that was being built or was at work.

    :func:`config_key` and :func:`was_running` tell it. Mistakes that have their own sentence begin
    with the key where a part was being built and the sentence does not name it.

    Raises:
        ConfigError: one that was raised inside, with the key before it.
    """
    try:
        yield
    except UserError as error:
        parts = parts_being_built(error)
        key = _key_being_built(error, cfg) if parts else None
        if key and isinstance(error, ConfigError) and key not in str(error):
            raise ConfigError(f'{key}: {error}') from error
        raise
    except Exception as error:
        key, is_running = _key_being_built(error, cfg) or _key_of_method(error), False
        if key is None or key in _LOOPS:
            at_work = _key_at_work(error, cfg)
            key, is_running = at_work or key, at_work is not None
        # noted now: the end of a process group clears the frames that tell it
        option = unknown_option(error) if isinstance(error, TypeError) else None
        with contextlib.suppress(AttributeError, TypeError):
            setattr(error, OPTION_ATTRIBUTE, option)
            if key:
                setattr(error, KEY_ATTRIBUTE, key)
                setattr(error, RUNNING_ATTRIBUTE, is_running)
        raise


def _key_being_built(error: BaseException, cfg: Any) -> str | None:
    whole = dict(cfg.items())  # mmengine's Config is no Mapping
    keys = (
        _key_of(part, whole, _is_same) or _key_of(part, whole, _is_like)
        for part, _ in reversed(parts_being_built(error))
    )
    return next(filter(None, keys), None)


def _key_at_work(error: BaseException, cfg: Any) -> str | None:
    """Key of the innermost part of the config whose method ``error`` came through."""
    from openseg_plugin.config.options import parts

    kinds: dict[type, str] = {}
    for key, _, kind in parts(cfg):
        if isinstance(kind, type):
            kinds.setdefault(kind, key)
    for frame in reversed(_frames(error)):
        for name in ('self', 'hook'):  # mmengine raises anew what a hook raised
            kind = type(frame.f_locals.get(name))
            if kind in kinds:
                return kinds[kind]
    return None


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
_LOOPS = ('train_cfg', 'val_cfg', 'test_cfg')  # build the loaders and evaluators too


def _key_of_method(error: BaseException) -> str | None:
    """Key of the innermost method of the Runner that works on a part of the config."""
    names = [frame.f_code.co_name for frame in _frames(error)]
    return next((_METHODS[name] for name in reversed(names) if name in _METHODS), None)


def config_key(error: BaseException) -> str | None:
    """Dotted key of the part that was being built when ``error`` came; None if unknown."""
    return getattr(error, KEY_ATTRIBUTE, None)


def was_running(error: BaseException) -> bool:
    """Whether the part of :func:`config_key` was at work already, not being built."""
    return getattr(error, RUNNING_ATTRIBUTE, False)


def parts_being_built(error: BaseException) -> list[tuple[Mapping, Mapping]]:
    """Parts of configs that mmengine was building when ``error`` came, outermost first.

    Each with the arguments that its class was given.
    """
    return [
        (frame.f_locals['cfg'], frame.f_locals.get('args') or {})
        for frame in _frames(error)
        if frame.f_code.co_name == 'build_from_cfg'
        and isinstance(frame.f_locals.get('cfg'), Mapping)
    ]


def _frames(error: BaseException) -> list[FrameType]:
    """Where ``error`` came through, outermost first."""
    frames = []
    traceback = error.__traceback__
    while traceback is not None:
        frames.append(traceback.tb_frame)
        traceback = traceback.tb_next
    return frames


def unknown_option(error: TypeError) -> str | None:
    """Name of an option of a config that no class takes; None if ``error`` says something else.

    An argument that our own code passes wrongly is none: the config does not give it.
    """
    if hasattr(error, OPTION_ATTRIBUTE):
        return getattr(error, OPTION_ATTRIBUTE)
    text = str(error)
    if 'unexpected keyword argument' not in text:
        return None
    _, name, *_ = [*text.rpartition('unexpected keyword argument')[2].split("'"), '', '']
    if error.__traceback__ is None:  # of another process: nothing speaks against the config
        return name or None
    is_given = any(
        name in args or any(name in one for one in args.values() if isinstance(one, Mapping))
        for _, args in parts_being_built(error)
    )
    return name if is_given else None


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
