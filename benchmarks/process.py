"""``python -m benchmarks.process FILE SCRIPT ARGUMENTS``: runs a script and says what it took.

Both sides of a comparison run through this, so that both carry the same weight. ``FILE`` gets, as
JSON, the peak memory of the process in MiB and the seconds until the optimizer's first step.
Stock mmseg's scripts run with what its imports need on today's torch, and nothing else of ours.
"""

import contextlib
import json
import os
import runpy
import sys
import time
from pathlib import Path
from types import ModuleType
from typing import Any

_PROJECT = Path(__file__).resolve().parent.parent
_STOCK = 'stock_predict.py'  # of this folder


def main(file: str, script: str, *arguments: str) -> None:
    """Runs ``script`` as if it had been started with the arguments."""
    found: dict[str, Any] = {'first_step_s': None}
    ours = {_PROJECT / 'tools', _PROJECT / 'benchmarks'}
    path = Path(script).resolve()
    if path.name == _STOCK or path.parent not in ours:
        _make_stock_importable()
    _watch_optimizer(found)
    sys.argv = [script, *arguments]
    sys.path[0] = os.path.dirname(os.path.abspath(script))
    try:
        runpy.run_path(script, run_name='__main__')
    finally:
        found['peak_mb'] = peak_megabytes()
        Path(file).write_text(json.dumps(found), encoding='utf-8')


def _make_stock_importable() -> None:
    """Stock mmseg gets what is missing on today's torch, without what makes ours start sooner.

    The package's own ``__init__`` would apply both, and is not run.
    """
    package = ModuleType('openseg_plugin')
    package.__path__ = [str(_PROJECT / 'openseg_plugin')]
    sys.modules['openseg_plugin'] = package
    from openseg_plugin.compat import compiled_ops, find_loader, pkg_resources, torchvision

    for patch in (compiled_ops, pkg_resources, find_loader, torchvision):
        patch.install()


def peak_megabytes() -> float | None:
    """Largest memory so far in MiB: of a GPU where one was used, else the resident set."""
    torch = sys.modules.get('torch')
    if torch is not None and torch.cuda.is_available() and torch.cuda.max_memory_allocated():
        return torch.cuda.max_memory_allocated() / 2**20
    return _of_this_process('VmHWM')


def resident_megabytes() -> float:
    """Memory of this process now, in MiB; 0 where the system does not say."""
    return _of_this_process('VmRSS') or 0.0


def _of_this_process(key: str) -> float | None:
    with contextlib.suppress(OSError):
        for line in Path('/proc/self/status').read_text().splitlines():
            if line.startswith(key):
                return int(line.split()[1]) / 2**10
    return None


def _watch_optimizer(found: dict[str, Any]) -> None:
    """Notes the processor time at which an optimizer has made its first step."""
    from torch.optim.optimizer import register_optimizer_step_post_hook

    def note(*_: Any) -> None:
        found['first_step_s'] = time.process_time()
        handle.remove()

    handle = register_optimizer_step_post_hook(note)


if __name__ == '__main__':
    main(*sys.argv[1:])
