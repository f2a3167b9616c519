"""Variables in configs are pasted by mmengine as source text and as a regular expression.

For: mmengine 0.10 (``Config._substitute_env_variables``, ``Config._substitute_predefined_vars``):
with DATA_ROOT="/a\'b" or "C:\\data", or in a folder of such a name, a config is no longer Python,
and a value can hold code.
Ends when: mmengine substitutes values.

``'{{$NAME:default}}'`` and ``'{{ fileDirname }}'`` within a string become the value as a string,
whatever it holds; outside of one, ``{{$NAME:80}}``, it becomes a number, list or other literal if
it is one, else a string.
"""

import ast
import os
import re
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

from openseg_plugin.compat.import_hooks import after_import

_PLACEHOLDER = re.compile(r'\{\{[\'"]?\s*\$(\w+)\s*:\s*(\S*?)\s*[\'"]?\}\}')
_OF_THE_FILE = re.compile(
    r'\{\{\s*(fileDirname|fileBasename|fileBasenameNoExtension|fileExtname)\s*\}\}'
)
_MARK = '_openseg_plugin_variable_{}_'
_MARKED = re.compile(_MARK.format(r'(\d+)'))
_RAW = re.compile(r'[rR][\'"]')
_HARMLESS = re.compile(r'[\w/.\- ]', re.ASCII)


def install() -> None:
    """Substitute values of variables as values."""
    after_import({'mmengine.config.config': _replace})


def _replace(module: ModuleType) -> None:
    for name, function in (
        ('_substitute_env_variables', substitute),
        ('_substitute_predefined_vars', substitute_names),
    ):
        if hasattr(module.Config, name):
            setattr(module.Config, name, staticmethod(function))


def substitute(filename: str, target: str) -> dict[str, str]:
    """Write the config ``filename`` to ``target`` with the values of its variables put in.

    Returns:
        The variables that were set, with their values.

    Raises:
        KeyError: one is neither set nor has a default.
        ValueError: a value that cannot stand in a YAML file.
    """
    from mmengine.logging import print_log

    used: dict[str, str] = {}

    def value_of(found: re.Match[str]) -> tuple[str, bool]:
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
        return value, name not in os.environ

    _put_in(filename, target, _PLACEHOLDER, value_of)
    return used


def substitute_names(filename: str, target: str) -> None:
    """Write the config ``filename`` to ``target`` with its own folder and name put in.

    Raises:
        ValueError: a name that cannot stand in a YAML file.
    """
    path = filename.replace(os.sep, '/')
    folder, name = os.path.split(path)
    values = dict(
        fileDirname=folder,
        fileBasename=name,
        fileBasenameNoExtension=os.path.splitext(name)[0],
        fileExtname=os.path.splitext(path)[1],
    )
    _put_in(filename, target, _OF_THE_FILE, lambda found: (values[found[1]], False))


def _put_in(
    filename: str,
    target: str,
    pattern: re.Pattern[str],
    value_of: Callable[[re.Match[str]], tuple[str, bool]],
) -> None:
    """Writes ``filename`` to ``target`` with values in place of what ``pattern`` finds.

    Args:
        filename: a config.
        target: of the same ending.
        pattern: of a variable.
        value_of: the value, and whether the config itself gives it, as source text.
    """
    text = Path(filename).read_text(encoding='utf-8')
    values: list[tuple[str, bool]] = []  # in the order of the text

    def mark(found: re.Match[str]) -> str:
        values.append(value_of(found))
        return _MARK.format(len(values) - 1)

    marked = pattern.sub(mark, text)
    bare: set[int] = set()
    if values and target.endswith('.py'):
        marked, bare = _without_raw_strings(marked), _outside_of_strings(marked)

    def put(found: re.Match[str]) -> str:
        number = int(found.group(1))
        value, is_source = values[number]
        if number in bare:
            return value if is_source else _as_literal(value)
        return value if is_source else _within_string(value, Path(target).suffix)

    Path(target).write_text(_MARKED.sub(put, marked), encoding='utf-8')


def _without_raw_strings(marked: str) -> str:
    """The source with ordinary strings in place of raw ones that hold a variable.

    Nothing can be escaped in a raw string.
    """
    try:
        nodes = list(ast.walk(ast.parse(marked)))
    except (SyntaxError, ValueError):
        return marked
    for node in nodes:
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            source = ast.get_source_segment(marked, node) or ''
            if _MARKED.search(source) and _RAW.match(source):
                marked = marked.replace(source, repr(node.value))
    return marked


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
