"""mmengine reads YAML with a loader that calls whatever function the file names.

For: mmengine 0.10 (``mmengine.fileio.handlers.yaml_handler``).
Ends when: mmengine's default is a safe loader that knows ``!!python/tuple``, which mmengine writes.

The default becomes a safe one; ``Loader=`` of a caller still counts. Plain Python values that
``yaml.dump`` marks (tuples, unicode, complex numbers) are read as before. Anchors that repeat each
other without limit are refused.
"""

from types import ModuleType
from typing import Any

from openseg_plugin.compat.import_hooks import after_import
from openseg_plugin.utils.files import without_bombs

_TAG = 'tag:yaml.org,2002:python/'


def install() -> None:
    """Read YAML without calling anything from the file."""
    after_import({'mmengine.fileio.handlers.yaml_handler': _replace})


def _replace(handler: ModuleType) -> None:
    import yaml

    base: Any = getattr(yaml, 'CSafeLoader', yaml.SafeLoader)
    loader = without_bombs(base)
    constructors = {
        'tuple': lambda self, node: tuple(self.construct_sequence(node, deep=True)),
        'complex': lambda self, node: complex(self.construct_scalar(node)),
        'none': base.construct_yaml_null,
        'bool': base.construct_yaml_bool,
        'int': base.construct_yaml_int,
        'long': base.construct_yaml_int,
        'float': base.construct_yaml_float,
        'str': base.construct_yaml_str,
        'unicode': base.construct_yaml_str,
        'list': base.construct_yaml_seq,
        'dict': base.construct_yaml_map,
    }
    for name, construct in constructors.items():
        loader.add_constructor(_TAG + name, construct)
    vars(handler)['Loader'] = loader
