"""Options and settings shared by all tests.

``--slow`` also runs the tests marked ``slow``; ``--fixture-dir DIR`` is explained in
``fixture_files.py``. Every test starts from the same random state, in mmseg's scope.
"""

import sys

import fixture_files
import pytest
from in_one_test import reset_random_state

import openseg_plugin  # noqa: F401  must come before mmseg where mmcv has no compiled ops


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption('--slow', action='store_true', help='also run the tests marked slow')
    parser.addoption(
        '--fixture-dir',
        metavar='DIR',
        help='use the stored reference results of this folder alone',
    )


def pytest_configure(config: pytest.Config) -> None:
    try:
        fixture_files.give(config.getoption('fixture_dir'))
    except FileNotFoundError as error:
        raise pytest.UsageError(str(error)) from None


def minutes_of(item: pytest.Item) -> int:
    """About how long a slow test takes; 0 for others."""
    marker = item.get_closest_marker('slow')
    return 0 if marker is None else marker.kwargs.get('minutes', 1)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption('--slow'):
        # a long test that begins last keeps one worker busy while the others wait
        items.sort(key=minutes_of, reverse=True)
        return
    skip = pytest.mark.skip(reason='slow: run with --slow')
    for item in items:
        if item.get_closest_marker('slow'):
            item.add_marker(skip)


@pytest.fixture(autouse=True)
def _same_state() -> None:
    """Random numbers, default scope and torch's choice of operations do not depend on the tests
    before; pure tests do not wait for mmengine."""
    reset_random_state()
    if 'torch' in sys.modules:
        sys.modules['torch'].use_deterministic_algorithms(False)
    if 'mmengine.registry' in sys.modules:
        sys.modules['mmengine.registry'].init_default_scope('mmseg')
