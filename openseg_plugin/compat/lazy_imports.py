"""mmseg imports packages for single functions of it; they are imported when these are called.

For: mmseg 1.2, every version of the packages.
Ends when: mmseg imports them itself where it uses them.

timm (and with it torchvision and torch's compiler), scipy.interpolate, scipy.optimize and
scipy.ndimage take more than a third of the time that ``import mmseg.models`` takes, for one
backbone, one assigner, one loss and three transforms. Only the names in these modules of mmseg
wait; who imports the packages gets them as ever. A package that is not installed fails at once,
as without this.

mmengine 0.10 imports torchvision to log its version, which takes a second too, and ends the run
where torchvision was built for another torch: that raises a RuntimeError, where mmengine expects an
ImportError. Ends when: mmengine asks for the version without importing the package.

It also derives three classes from torch's for sharded training, whose packages take long to import
and serve nobody else. Each is in its registry and its module as ever, but stands for a
class whose module runs when somebody builds it, derives from it or reads something of it. Ends
when: mmengine imports ``torch.distributed.fsdp`` where it uses it.
"""

import builtins
import functools
import importlib
import importlib.util
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from types import ModuleType
from typing import Any

from openseg_plugin.compat.import_hooks import (
    Execute,
    after_import,
    around_import,
    replace_everywhere,
)

# module of mmseg -> what it imports that can wait
WAITING = {
    'mmseg.models.backbones.timm_backbone': ('timm',),
    'mmseg.models.backbones.beit': ('scipy',),
    'mmseg.models.assigners.hungarian_assigner': ('scipy.optimize',),
    'mmseg.models.losses.huasdorff_distance_loss': ('scipy.ndimage',),
    'mmseg.datasets.transforms.transforms': ('scipy.ndimage',),
}
# module of mmengine -> its class, and the registry in mmengine.registry that has it
SHARDED = {
    'mmengine.optim.optimizer.zero_optimizer': ('ZeroRedundancyOptimizer', 'OPTIMIZERS'),
    'mmengine.model.wrappers.fully_sharded_distributed': (
        'MMFullyShardedDataParallel',
        'MODEL_WRAPPERS',
    ),
    'mmengine._strategy.fsdp': ('FSDPStrategy', 'STRATEGIES'),
}


def install() -> None:
    """From now on the modules of mmseg import these packages when they use them.

    So does mmengine, and torchvision is not imported for its version.
    """
    around_import({name: partial(_execute, waiting) for name, waiting in WAITING.items()})
    around_import({name: partial(_wait, *of) for name, of in SHARDED.items()})
    after_import({'mmengine.utils.dl_utils.collect_env': _replace_collect_env})


class _Waiting:
    """Stands for a module, or for a name in it, which is imported at the first use."""

    def __init__(self, module: str, name: str | None = None) -> None:
        self._of = (module, name)

    def _found(self) -> Any:
        name, attribute = self._of
        module = importlib.import_module(name)
        return module if attribute is None else getattr(module, attribute)

    def __getattr__(self, name: str) -> Any:
        if name.startswith('__'):  # what inspect and copy ask of everything
            raise AttributeError(name)
        return getattr(self._found(), name)

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        return self._found()(*arguments, **options)


class _Names:
    """What ``from MODULE import name`` reads its names from."""

    def __init__(self, module: str) -> None:
        self._module = module

    def __getattr__(self, name: str) -> Any:
        return _Waiting(self._module, name)


def _execute(waiting: Sequence[str], execute: Execute, module: ModuleType) -> None:
    """Runs the code of a module in which the imports of ``waiting`` wait."""

    def import_(
        name: str,
        globals_: Mapping[str, Any] | None = None,
        locals_: Mapping[str, Any] | None = None,
        fromlist: Sequence[str] | None = (),
        level: int = 0,
    ) -> Any:
        package = name.partition('.')[0]
        if level or name not in waiting or importlib.util.find_spec(package) is None:
            return builtins.__import__(name, globals_, locals_, fromlist or (), level)
        return _Names(name) if fromlist else _Waiting(name)

    # an import statement asks the builtins of its own module
    module.__dict__['__builtins__'] = {**vars(builtins), '__import__': import_}
    execute(module)


def _replace_collect_env(module: ModuleType) -> None:
    collect = module.collect_env

    @functools.wraps(collect)
    def collect_env() -> dict:
        if 'torchvision' in sys.modules:
            return collect()
        from importlib import metadata  # slow to import, and rarely needed

        try:
            stand_in = ModuleType('torchvision')
            vars(stand_in)['__version__'] = metadata.version('torchvision')
            sys.modules['torchvision'] = stand_in
        except metadata.PackageNotFoundError:
            sys.modules['torchvision'] = None  # type: ignore[assignment]  # it "is not installed"
        try:
            return collect()
        finally:
            del sys.modules['torchvision']

    replace_everywhere(collect, collect_env)


class _WaitingClass:
    """Stands for a class whose module has not run yet.

    Args:
        name: of the class.
        module: where it is defined.
        load: runs the module and returns the class; the second time it only returns it.
        is_there: whether the module has run.
    """

    def __init__(
        self,
        name: str,
        module: str,
        load: Callable[[], type],
        is_there: Callable[[], bool],
    ) -> None:
        self.__name__ = self.__qualname__ = name
        self.__module__ = module
        self._load = load
        self._is_there = is_there

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        return self._load()(*arguments, **options)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._load(), name)

    def __mro_entries__(self, bases: tuple[Any, ...]) -> tuple[type]:
        return (self._load(),)

    def __instancecheck__(self, instance: object) -> bool:
        return self._is_there() and isinstance(instance, self._load())

    def __subclasscheck__(self, subclass: type) -> bool:
        return self._is_there() and issubclass(subclass, self._load())


def _wait(name: str, registry_name: str, execute: Execute, module: ModuleType) -> None:
    """Puts the stand-in into the module instead of running it."""
    registered = getattr(importlib.import_module('mmengine.registry'), registry_name).module_dict
    runs: list[bool] = []

    def load() -> type:
        if not runs:
            runs.append(True)
            if registered.get(name) is stand_in:
                del registered[name]  # the module registers the class itself
            vars(module).pop('__getattr__', None)
            execute(module)
        return vars(module)[name]

    def rest(attribute: str) -> Any:
        if attribute.startswith('__'):  # what the import system and inspect ask of every module
            raise AttributeError(f'module {module.__name__!r} has no attribute {attribute!r}')
        load()
        return getattr(module, attribute)

    stand_in = _WaitingClass(name, module.__name__, load, lambda: bool(runs))
    registered[name] = stand_in
    vars(module).update({name: stand_in, '__getattr__': rest})
