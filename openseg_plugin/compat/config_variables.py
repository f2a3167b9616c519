"""Environment values in configs are pasted by mmengine as source text and as a regular expression.

For: mmengine 0.10 (``Config._substitute_env_variables``): with DATA_ROOT="/a\'b" or "C:\\data" a
config is no longer Python, and a value can hold code.
Ends when: mmengine substitutes values.

``'{{$NAME:default}}'`` within a string becomes the value as a string, whatever it holds; outside of
one, ``{{$NAME:80}}``, it becomes a number, list or other literal if it is one, else a string.
"""

import ast
import os
import re
from pathlib import Path
from types import ModuleType

from openseg_plugin.compat.import_hooks import after_import

_PLACEHOLDER = re.compile(r'\{\{[\'"]?\s*\$(\w+)\s*:\s*(\S*?)\s*[\'"]?\}\}')
_MARK = '_openseg_plugin_variable_{}_'
_MARKED = re.compile(_MARK.format(r'(\d+)'))
_HARMLESS = re.compile(r'[\w/.\- ]', re.ASCII)


def install() -> None:
    """Substitute values of environment variables as values."""
    after_import({'mmengine.config.config': _replace})


def _replace(module: ModuleType) -> None:
    if hasattr(module.Config, '_substitute_env_variables'):
        module.Config._substitute_env_variables = staticmethod(substitute)


def substitute(filename: str, target: str) -> dict[str, str]:
    """Write the config ``filename`` to ``target`` with the values of its variables put in.

    Returns:
        The variables that were set, with their values.

    Raises:
        KeyError: one is neither set nor has a default.
        ValueError: a value that cannot stand in a YAML file.
    """
    from mmengine.logging import print_log

    text = Path(filename).read_text(encoding='utf-8')
    used: dict[str, str] = {}
    values: list[tuple[str, bool]] = []  # in the order of the text; whether it is a default

    def mark(found: re.Match[str]) -> str:
        name, default = found.groups()
        value = os.environ.get(name, default)
        if not value:
            raise KeyError(
                f'`{name}` cannot be found in `os.environ`. Please set `{name}` in environment '
                'or give a default value.'
            )
        if name in os.environ and name not in used:
            used[name] = value
            print_log(f'{name}={value} replaces the variable in the config', logger='current')
        values.append((value, name not in os.environ))
        return _MARK.format(len(values) - 1)

    marked = _PLACEHOLDER.sub(mark, text)
    bare = _outside_of_strings(marked) if target.endswith('.py') else set()

    def put(found: re.Match[str]) -> str:
        number = int(found.group(1))
        value, is_default = values[number]
        if number in bare:
            return value if is_default else _as_literal(value)
        return value if is_default else _within_string(value, Path(target).suffix)

    Path(target).write_text(_MARKED.sub(put, marked), encoding='utf-8')
    return used


def _outside_of_strings(marked: str) -> set[int]:
    """Numbers of the variables that stand in the source themselves, not in a string."""
    try:
        nodes = list(ast.walk(ast.parse(marked)))
    except (SyntaxError, ValueError):  # JSON, YAML, or mmengine will say what is wrong
        return set()
    names = (_MARKED.fullmatch(node.id) for node in nodes if isinstance(node, ast.Name))
    return {int(found.group(1)) for found in names if found}


def _as_literal(value: str) -> str:
    try:
        literal = ast.literal_eval(value)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        literal = value
    return repr(value if isinstance(literal, str) else literal)


def _within_string(value: str, suffix: str) -> str:
    """The value so that a string literal of the file's language holds it unchanged."""
    if suffix == '.json':
        import json

        return json.dumps(value)[1:-1]
    if suffix in ('.yml', '.yaml'):
        if re.search(r'[\'"\n]', value):
            raise ValueError(f'{value!r} of an environment variable cannot stand in a YAML file')
        return value
    return ''.join(
        character if _HARMLESS.match(character) else f'\\U{ord(character):08x}'
        for character in value
    )
