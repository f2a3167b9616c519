"""Inputs as the ``meta`` of a fixture words them: ``"recipe.image([2, 19, 64, 96], 0) * 2"``.

Numbers, sums, products, ``abs``, ``clip`` and the recipe's own functions are all that is
understood; what follows the expression is a note. Nothing is executed.
"""

import ast
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from parity import stored

_OPERATIONS: dict[type, Callable] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
}


def made(text: str, **names: float | Sequence[int]) -> np.ndarray:
    """The array that a text describes; ``names`` are what it may call by name, such as
    ``seed`` and ``shape``.

    Raises:
        ValueError: it does not begin with an expression that is understood.
    """
    text = re.sub(r'\)\s*\(block (\d+)\)', r', block=\1)', text)
    return _value(_expression(text, names), names)


def shape_of(text: str) -> tuple[int, ...]:
    """Of the first array in a text: its first argument, (2, 19, 64, 96) of an image."""
    found = re.search(r'recipe\.\w+\((?:"\w+",\s*)?[(\[]([\d,\s]+)[)\]]', text)
    if not found:
        raise ValueError(f'no shape in {text!r}')
    return tuple(int(side) for side in found.group(1).split(',') if side.strip())


def classes_of(text: str) -> int:
    """Number of classes of labels: the second argument."""
    found = re.search(r'labels\([(\[][\d,\s]+[)\]],\s*(\d+)', text)
    if not found:
        raise ValueError(f'no number of classes in {text!r}')
    return int(found.group(1))


def channel_step(description: str) -> int:
    """Which channels of an output were kept: every how many-th."""
    found = re.search(r'channels 0::(\d+)|every (\d+)\w\w channel', description)
    return int(found.group(1) or found.group(2)) if found else 1


def numbers(pattern: str, text: str) -> tuple[float, ...]:
    """What the groups of a pattern say in a text.

    Raises:
        ValueError: the text does not say it.
    """
    found = re.search(pattern, text)
    if not found:
        raise ValueError(f'{text!r} does not say {pattern}')
    return tuple(float(group) for group in found.groups())


def _expression(text: str, names: Mapping[str, Any]) -> ast.expr:
    """The longest beginning of a text, in words, that is understood."""
    words = text.split(' ')
    for end in range(len(words), 0, -1):
        try:
            node = ast.parse(' '.join(words[:end]).rstrip(','), mode='eval').body
        except SyntaxError:
            continue
        if all(_is_known(part, names) for part in ast.walk(node)):
            return node
    raise ValueError(f'not understood: {text!r}')


def _is_known(node: ast.AST, names: Mapping[str, Any]) -> bool:
    if isinstance(node, ast.Call):
        return ast.unparse(node.func).removeprefix('recipe.') in _FUNCTIONS
    if isinstance(node, ast.Name):
        return node.id in names or node.id == 'recipe' or node.id in _FUNCTIONS
    known = (ast.Constant, ast.BinOp, ast.UnaryOp, ast.Tuple, ast.List, ast.Attribute, ast.keyword)
    return isinstance(node, known + (ast.operator, ast.USub, ast.expr_context))


def _value(node: ast.expr, names: Mapping[str, Any]) -> Any:
    if isinstance(node, ast.Constant):
        return node.value
    if isinstance(node, ast.Name):
        return names[node.id]
    if isinstance(node, ast.UnaryOp):
        return -_value(node.operand, names)
    if isinstance(node, ast.BinOp):
        left, right = (_number(_value(side, names)) for side in (node.left, node.right))
        return _OPERATIONS[type(node.op)](left, right)
    if isinstance(node, ast.Tuple | ast.List):
        return tuple(_value(part, names) for part in node.elts)
    assert isinstance(node, ast.Call)
    function = _FUNCTIONS[ast.unparse(node.func).removeprefix('recipe.')]
    options = {word.arg: _value(word.value, names) for word in node.keywords}
    return function(*(_value(part, names) for part in node.args), **options)


def _number(value: Any) -> Any:
    """Python's numbers leave an array in float32, as they did in the recipe under numpy 1 and 2."""
    return np.float32(value) if isinstance(value, float) else value


def _labels(*args: Any, ignore_share: float = 0.05, **options: Any) -> np.ndarray:
    return stored.labels(*args, ignored_fraction=ignore_share, **options)


def _tensor(name: str, shape: tuple[int, ...], dtype: str = 'float32', seed: int = 0) -> np.ndarray:
    return stored.weight(name, shape, dtype=dtype, seed=seed)


_FUNCTIONS: dict[str, Callable] = {
    'image': stored.image,
    'labels': _labels,
    'tensor': _tensor,
    'abs': abs,
    'clip': np.clip,
    'arange': np.arange,
}
