"""Actions right after the import of a module, whoever imports it."""

import importlib
import sys

from openseg_plugin.compat.import_hooks import after_import


def test_two_actions_may_wait_for_the_same_module(tmp_path, monkeypatch):
    (tmp_path / 'waited_for_twice.py').write_text('x = 1\n')
    monkeypatch.syspath_prepend(str(tmp_path))
    seen = []
    before = list(sys.meta_path)
    try:
        after_import({'waited_for_twice': lambda module: seen.append(('one', module.x))})
        after_import({'waited_for_twice': lambda module: seen.append(('two', module.x))})
        importlib.import_module('waited_for_twice')
    finally:
        sys.meta_path[:] = before
        sys.modules.pop('waited_for_twice', None)
    assert sorted(seen) == [('one', 1), ('two', 1)]
