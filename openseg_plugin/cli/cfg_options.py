"""``--cfg-options key=value``: values as mmengine reads them, and dicts and lists of dicts too."""

import argparse
import ast
import contextlib
from collections.abc import Sequence
from typing import Any

_WORDS = {'true': True, 'false': False, 'None': None}
_BRACKETS = {'[': ']', '(': ')', '{': '}'}


class CfgOptions(argparse.Action):
    """Collects ``key=value`` pairs into one dict of dotted keys; may be given several times."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: str | Sequence[Any] | None,
        option_string: str | None = None,
    ) -> None:
        options = dict(getattr(namespace, self.dest) or {})
        for pair in values or ():
            key, sign, text = str(pair).partition('=')
            if not sign or not key:
                raise argparse.ArgumentError(self, f'{pair} is not of the form key=value')
            options[key] = parse_value(text)
        setattr(namespace, self.dest, options)


def parse_value(text: str) -> Any:
    """The value that a text means; nothing in it is executed.

    Numbers, ``true``, ``false`` and ``None``; Python literals, with ``dict(a=1)`` too; ``a,b`` and
    ``[a,b]`` as lists, ``(a,b)`` as a tuple of words without quotes; any other text as
    it is.
    """
    with contextlib.suppress(ValueError, SyntaxError, RecursionError):
        return _literal(ast.parse(text.strip(), mode='eval').body)
    if text in _WORDS:
        return _WORDS[text]
    if text[:1] in ('[', '(') and text[-1:] == _BRACKETS[text[0]]:
        items = [parse_value(one) for one in _split(text[1:-1])]
        return tuple(items) if text[0] == '(' else items
    parts = _split(text)
    if len(parts) > 1 and ' ' not in text:
        return [parse_value(one) for one in parts]
    return text


def _literal(node: ast.expr) -> Any:
    """Value of an expression made of literals and calls of ``dict``.

    Raises:
        ValueError: there is something else in it.
    """
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == 'dict':
        if node.args or any(one.arg is None for one in node.keywords):
            raise ValueError('dict() takes key=value here')
        return {str(one.arg): _literal(one.value) for one in node.keywords}
    if isinstance(node, ast.Dict) and None not in node.keys:
        return {_literal(key): _literal(value) for key, value in zip(node.keys, node.values) if key}
    if isinstance(node, ast.List):
        return [_literal(one) for one in node.elts]
    if isinstance(node, ast.Tuple):
        # "1,2" without brackets is a list, as mmengine has it; "(1,2)" starts before its elements
        items = [_literal(one) for one in node.elts]
        return tuple(items) if _has_brackets(node) else items
    return ast.literal_eval(node)


def _has_brackets(node: ast.Tuple) -> bool:
    return not node.elts or node.col_offset < node.elts[0].col_offset


def _split(text: str) -> list[str]:
    """Parts between commas that are in no brackets and no quotes."""
    parts, depth, quote, start = [], 0, '', 0
    for index, char in enumerate(text):
        if quote:
            quote = '' if char == quote else quote
        elif char in '\'"':
            quote = char
        elif char in '[({':
            depth += 1
        elif char in '])}':
            depth -= 1
        elif char == ',' and depth == 0:
            parts.append(text[start:index].strip())
            start = index + 1
    parts.append(text[start:].strip())
    return [part for part in parts if part] if len(parts) > 1 else parts
