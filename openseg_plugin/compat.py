"""The only module that knows about versions of Python, PyTorch, mmengine and mmcv."""

import importlib.machinery
import importlib.util
import sys
import types


class _MissingOps(types.ModuleType):
    """Stand-in for ``mmcv._ext``: importing works, calling a compiled op says how to get it."""

    def __getattr__(self, name: str):
        if name.startswith('__'):
            raise AttributeError(name)

        def missing(*args, **kwargs):
            raise NotImplementedError(
                f'the compiled mmcv op "{name}" was called, but mmcv-lite has none; '
                'nothing in openseg_plugin needs it. Install a compiled mmcv==2.1.0 to use it.'
            )

        return missing


def _stand_in_for_compiled_ops() -> None:
    name = 'mmcv._ext'
    if name in sys.modules or importlib.util.find_spec('mmcv') is None:
        return
    import mmcv

    if importlib.util.find_spec(name) is None:
        module = _MissingOps(name)
        # loader=None: mmengine's "are there compiled ops" questions keep answering no
        module.__spec__ = importlib.machinery.ModuleSpec(name, loader=None)
        sys.modules[name] = mmcv._ext = module


def apply() -> None:
    """Mend what is missing; does nothing where nothing is missing. Costs milliseconds."""
    _stand_in_for_compiled_ops()
