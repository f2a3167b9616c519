"""Many inputs of one kind in one test, where ``pytest.mark.parametrize`` would make many tests."""

import functools
import inspect
import itertools
import random
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import pytest


def in_one_test(names: str | tuple[str, ...], values: Iterable, *, ids: Any = None) -> Callable:
    """As ``pytest.mark.parametrize(names, values, ids=ids)``, but all cases are one test.

    Every case runs, and each that fails is reported with its values (pytest's ``subtests``).
    Several of these above a test are combined. A case starts from the same random state as a
    test, has a ``tmp_path`` of its own, and its ``monkeypatch`` ends with it.
    """
    keys = tuple(key.strip() for key in names.split(',')) if isinstance(names, str) else names
    cases = [_case(keys, value, index, ids) for index, value in enumerate(values)]

    def decorate(function: Callable) -> Callable:
        if not hasattr(function, 'axes'):
            function = _looping(function)
        function.axes.insert(0, cases)
        parameters = function.__signature__.parameters.values()
        function.__signature__ = inspect.Signature([p for p in parameters if p.name not in keys])
        return function

    return decorate


def reset_random_state() -> None:
    """The state that every test and every case starts from; pure tests do not wait for torch."""
    random.seed(0)
    np.random.seed(0)
    if 'torch' in sys.modules:
        sys.modules['torch'].manual_seed(0)


def _looping(function: Callable) -> Callable:
    """``function`` over the product of its ``axes``; the decorators fill them."""

    @functools.wraps(function)
    def test(*instance: object, **fixtures: Any) -> None:
        subtests = fixtures['subtests'] if takes_subtests else fixtures.pop('subtests')
        folder = fixtures.get('tmp_path')
        if not all(test.axes):
            pytest.skip('no case')  # as pytest does for an empty parametrisation
        for number, (name, arguments) in enumerate(_combined(test.axes)):
            reset_random_state()
            if folder is not None:
                fixtures['tmp_path'] = folder / f'case_{number}'
                fixtures['tmp_path'].mkdir()
            with subtests.test(name), _fresh(fixtures) as fresh:
                function(*instance, **arguments, **fresh)

    parameters = list(inspect.signature(function).parameters.values())
    takes_subtests = 'subtests' in [p.name for p in parameters]
    if not takes_subtests:
        parameters.append(inspect.Parameter('subtests', inspect.Parameter.POSITIONAL_OR_KEYWORD))
    test.axes = []
    test.__signature__ = inspect.Signature(parameters)
    return test


class _fresh:
    """Fixtures for one case: what was patched or printed in the case before is gone."""

    def __init__(self, fixtures: dict[str, Any]) -> None:
        self.fixtures = fixtures

    def __enter__(self) -> dict[str, Any]:
        fresh = dict(self.fixtures)
        self.patches = None
        if 'monkeypatch' in fresh:
            self.patches = pytest.MonkeyPatch()
            fresh['monkeypatch'] = self.patches
        for name in ('capsys', 'capfd'):
            if name in fresh:
                fresh[name].readouterr()
        if 'caplog' in fresh:
            fresh['caplog'].clear()
        return fresh

    def __exit__(self, *error: object) -> None:
        if self.patches is not None:
            self.patches.undo()


def _combined(axes: list[list]) -> Iterator[tuple[str, dict[str, Any]]]:
    for combination in itertools.product(*axes):
        arguments: dict[str, Any] = {}
        for _, values in combination:
            arguments |= values
        yield ', '.join(name for name, _ in combination), arguments


def _case(keys: tuple[str, ...], value: Any, index: int, ids: Any) -> tuple[str, dict[str, Any]]:
    """What a case is called, and its arguments."""
    name = None
    if hasattr(value, 'marks'):  # pytest.param
        assert not value.marks, 'cases of one test cannot have marks of their own'
        name, values = value.id, value.values
    else:
        values = (value,) if len(keys) == 1 else tuple(value)
    assert len(keys) == len(values), f'{keys} are not as many as {values}'
    if name is None and ids is not None:
        name = '-'.join(map(str, map(ids, values))) if callable(ids) else list(ids)[index]
    if name is None:
        pairs = [f'{key}={_short(part)}' for key, part in zip(keys, values, strict=True)]
        name = ', '.join(pairs)
    return str(name), dict(zip(keys, values, strict=True))


def _short(value: object) -> str:
    text = getattr(value, '__name__', None) or repr(value)
    return text if len(text) <= 80 else f'{text[:77]}...'
