"""The config inside a weight file: data that is read without evaluating any of it.

Our own files hold the flattened config under ``meta['openseg_plugin_config']`` as values that JSON
has too, in ``.pth`` and ``.safetensors`` alike. Files of others, and older ones of ours, hold it as
Python text under ``meta['cfg']`` (mmengine) or ``meta['config']`` (mmcv 1); of that only literals
and ``dict(...)`` are understood, which is all that mmengine writes. Either way a ``type`` must name
something that is registered, so that a file cannot name any function there is.
"""

import ast
import math
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from openseg_plugin.errors import CheckpointError

STORED_CONFIG = 'openseg_plugin_config'

_TUPLE, _PAIRS = '__tuple__', '__pairs__'
_TEXT_LIMIT = 1 << 22  # characters; the largest config of mmseg has about 1 << 15
# what a config may do beside naming types: import modules, name files to load or go on from
_LEFT_OUT = ('custom_imports', 'load_from', 'resume', 'launcher')
# options that say where something is written or sent (mmseg's CityscapesMetric even deletes its
# output_dir with all that is in it), and further files that are read as weights
_PLACES = (
    *('work_dir', 'output_dir', 'out_dir', 'report_dir', 'save_dir', 'img_save_dir', 'collect_dir'),
    *('vis_backends', 'init_kwargs', 'tracking_uri'),
    *('folder', 'cache', 'out_file_path', 'outfile_prefix', 'result_path', 'json_trace_path'),
    *('pretrained', 'checkpoint_path', 'class_embed_path', 'rfstructure_file'),
)
_OTHER_TYPES = ('constructor', 'default_scope', '_scope_')
_SCOPES = ('openseg_plugin', 'mmseg', 'mmengine', 'mmcv')


def as_data(value: Any) -> Any:
    """A config, or a part of it, as values that JSON has; :func:`from_data` is the way back.

    Tuples and mappings with other keys than names are marked; classes and functions become their
    dotted names, and whatever else there may be its text.
    """
    if isinstance(value, Mapping):
        if all(isinstance(key, str) for key in value):
            return {str(key): as_data(item) for key, item in value.items()}
        return {_PAIRS: [[as_data(key), as_data(item)] for key, item in value.items()]}
    if isinstance(value, tuple):
        return {_TUPLE: [as_data(item) for item in value]}
    if isinstance(value, list | set | frozenset):
        return [as_data(item) for item in value]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if hasattr(value, 'tolist'):  # numpy's and torch's numbers and arrays
        return as_data(value.tolist())
    if callable(value) and hasattr(value, '__qualname__'):
        return f'{value.__module__}.{value.__qualname__}'
    return str(value)


def from_data(value: Any) -> Any:
    """What :func:`as_data` was given, with lists for sets."""
    if isinstance(value, Mapping):
        if value.keys() == {_TUPLE} and isinstance(value[_TUPLE], list):
            return tuple(from_data(item) for item in value[_TUPLE])
        if value.keys() == {_PAIRS} and isinstance(value[_PAIRS], list):
            return {from_data(key): from_data(item) for key, item in value[_PAIRS]}
        return {key: from_data(item) for key, item in value.items()}
    if isinstance(value, list):
        return [from_data(item) for item in value]
    return value


def stored_config(
    checkpoint: Mapping[str, Any], *, keys: Collection[str] | None = None
) -> dict[str, Any] | None:
    """The config in a checkpoint as plain data; None: there is none that can be read as data.

    Left out is what would import modules or load further files.

    Args:
        checkpoint: what was read.
        keys: of the config that are needed; the others may name what is not installed here, such
            as hooks of a training. None: all.

    Raises:
        CheckpointError: it names a ``type`` that no registry of the installed packages has, or a
            model to be fetched.
    """
    meta = checkpoint.get('meta')
    config = None
    try:
        if isinstance(meta, Mapping) and isinstance(meta.get(STORED_CONFIG), Mapping):
            config = from_data(meta[STORED_CONFIG])
        elif text := _config_text(checkpoint):
            config = parse_text(text)
    except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
        return None
    if not isinstance(config, dict):
        return None
    config = {
        key: value
        for key, value in config.items()
        if key not in _LEFT_OUT and (keys is None or key in keys)
    }
    return _harmless(config, require_registered(config))


def _harmless(value: Any, paths: Mapping[str, str]) -> Any:
    """The config without places to write to and without further weight files.

    The weights are those of the file that the config stands in.

    Args:
        value: a config, or a part of it.
        paths: dotted path of a class -> the name it is registered by. The name alone is looked up
            in the registry of its place; by its path, mmengine would build any class anywhere.

    Raises:
        CheckpointError: a model is to be fetched from somewhere.
    """
    if isinstance(value, list | tuple):
        return type(value)(_harmless(item, paths) for item in value)
    if not isinstance(value, dict):
        return value
    kept = {}
    for key, item in value.items():
        if key == 'model_name' and ':' in str(item):  # timm's hf-hub:USER/NAME and local-dir:PATH
            raise CheckpointError(
                f'the config in the file fetches the model {item}, so it is not used: name the '
                'config file yourself'
            )
        names_place = key in _PLACES and item not in (None, False)
        if names_place or (isinstance(item, dict) and 'checkpoint' in item):
            continue
        is_path = _says_type(key) and isinstance(item, str) and item in paths
        kept[key] = paths[item] if is_path else _harmless(item, paths)
    return kept


def _config_text(checkpoint: Mapping[str, Any]) -> str | None:
    hub = checkpoint.get('message_hub')
    info = hub.get('runtime_info') if isinstance(hub, Mapping) else None
    for place, key in ((checkpoint.get('meta'), 'cfg'), (info, 'cfg')):
        if isinstance(place, Mapping) and isinstance(place.get(key), str):
            return place[key]
    return None


def config_text(config: Mapping[str, Any]) -> str:
    """A config as text that :func:`parse_text`, and mmengine, reads."""
    return ''.join(f'{key} = {value!r}\n' for key, value in config.items())


def parse_text(text: str) -> dict[str, Any]:
    """The assignments in the text of a config, made of literals and ``dict(...)`` alone.

    Raises:
        ValueError: there is anything else in it, which would have to be evaluated.
    """
    if len(text) > _TEXT_LIMIT:
        raise ValueError('too long for a config')
    config = {}
    for statement in ast.parse(text).body:
        if not (isinstance(statement, ast.Assign) and len(statement.targets) == 1):
            raise ValueError('more than assignments')
        target = statement.targets[0]
        if not isinstance(target, ast.Name):
            raise ValueError('more than names that are assigned to')
        config[target.id] = _literal(statement.value)
    return config


def _literal(node: ast.expr) -> Any:
    """Value of a literal in which ``dict(a=1)`` may stand for a mapping.

    Raises:
        ValueError: it is something else.
    """
    if isinstance(node, ast.Call):
        is_dict = isinstance(node.func, ast.Name) and node.func.id == 'dict'
        given = _literal(node.args[0]) if len(node.args) == 1 else {}
        if not is_dict or len(node.args) > 1 or not isinstance(given, dict):
            raise ValueError('a call')
        if any(keyword.arg is None for keyword in node.keywords):
            raise ValueError('a call with a mapping')
        return given | {str(keyword.arg): _literal(keyword.value) for keyword in node.keywords}
    if isinstance(node, ast.Dict):
        if any(key is None for key in node.keys):
            raise ValueError('a mapping made of others')
        return {
            _literal(key): _literal(value)
            for key, value in zip(node.keys, node.values, strict=True)
            if key is not None
        }
    if isinstance(node, ast.List):
        return [_literal(item) for item in node.elts]
    if isinstance(node, ast.Tuple):
        return tuple(_literal(item) for item in node.elts)
    if isinstance(node, ast.Name) and node.id in ('inf', 'nan'):  # as Python writes them
        return getattr(math, node.id)
    return ast.literal_eval(node)


def require_registered(config: Any) -> dict[str, str]:
    """Check that every ``type`` and constructor names something registered.

    mmengine takes any other dotted name for that of a module and what is in it, and calls it.

    Returns:
        Dotted path of every registered class -> name by which it is registered.

    Raises:
        CheckpointError: one does not.
    """
    scopes, names, paths = _registered()
    for key, name in _named_types(config):
        scope, _, rest = name.rpartition('.')
        if key in ('default_scope', '_scope_'):
            is_known = name in scopes
        elif key in ('type', 'constructor') or scope:
            is_known = (rest in names and (not scope or scope in scopes)) or name in paths
        else:
            is_known = True  # such as fusion_type='sum'
        if not is_known:
            raise CheckpointError(
                f'the config in the file has {key}={name!r}, which no registry of the installed '
                'packages knows, so it is not used: name the config file yourself'
            )
    return paths


def _says_type(key: Any) -> bool:
    return str(key).endswith('type') or key in _OTHER_TYPES


def _named_types(value: Any) -> Iterator[tuple[str, str]]:
    """Keys and strings that say what is built."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            if _says_type(key) and isinstance(item, str):
                yield str(key), item
            else:
                yield from _named_types(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _named_types(item)


def _registered() -> tuple[set[str], set[str], dict[str, str]]:
    """Scopes, names and dotted paths of everything in mmengine's registries and below them."""
    from mmengine.registry import Registry, root

    scopes, names, paths = set(_SCOPES), set(), {}
    waiting = [value for value in vars(root).values() if isinstance(value, Registry)]
    while waiting:
        registry = waiting.pop()
        waiting.extend(registry.children.values())
        registry.import_from_location()
        scopes.add(registry.scope)
        for name, kind in registry.module_dict.items():
            names.add(name)
            path = f'{kind.__module__}.{getattr(kind, "__qualname__", name)}'
            paths[path] = f'{registry.scope}.{name}'
    return scopes, names, paths
