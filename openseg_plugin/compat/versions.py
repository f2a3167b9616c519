"""Which versions of other packages models and datasets stand on, and what to install instead."""

import functools
import importlib.util
import math
import re
from pathlib import Path

from openseg_plugin.errors import DependencyError

# import name: command, oldest version, first version that is too new
_NEEDED = {
    'torch': ('pip install torch==2.13.0', (2, 1), None),
    'mmengine': ('pip install mmengine==0.10.7', (0, 10), (1,)),
    'mmcv': ('pip install mmcv-lite==2.1.0', (2,), (3,)),
    'mmseg': ('pip install mmsegmentation==1.2.2', (1, 2), (2,)),
    'ftfy': ('pip install ftfy regex', (), None),  # mmseg.models needs both and declares neither
    'regex': ('pip install ftfy regex', (), None),
}
_SAME_FILES = (
    ('mmengine', 'onedl-mmengine'),
    ('mmsegmentation', 'onedl-mmsegmentation'),
    ('mmcv', 'mmcv-lite'),
)
FIRST_FORK = (1, 3)  # mmseg 1.2.2 is the last official release; the onedl fork continues at 1.3


@functools.cache
def check() -> None:
    """Whether everything that models and datasets stand on is there and fits together.

    Raises:
        DependencyError: one sentence: what was found, what is needed, the command.
    """
    for package, (command, oldest, too_new) in _NEEDED.items():
        if importlib.util.find_spec(package) is None:
            raise DependencyError(f'{package} is needed but not installed: {command}')
        found = version_of(package) if oldest else ''
        if found and not oldest <= numbers_of(found) < (too_new or (math.inf,)):
            wanted = f'{_dotted(oldest)} or newer' + (f', below {too_new[0]}.0' if too_new else '')
            raise DependencyError(
                f'{package} {found} is installed, but {wanted} is needed: {command}'
            )
    _check_together()


def _check_together() -> None:
    from importlib import metadata

    for names in _SAME_FILES:
        found = {dist.name: dist.version for n in names for dist in metadata.distributions(name=n)}
        if len(set(found.values())) > 1:
            both = ' and '.join(f'{name} {version}' for name, version in found.items())
            raise DependencyError(
                f'{both} are installed over the same files, so neither is whole: '
                f'pip uninstall {" ".join(found)}, then install one of them with --no-deps'
            )
    mmcv, mmseg, torch = version_of('mmcv'), version_of('mmseg'), version_of('torch')
    if () < numbers_of(mmseg) < FIRST_FORK and numbers_of(mmcv) >= (2, 2):
        raise DependencyError(
            f'mmcv {mmcv} is installed, but mmsegmentation {mmseg} refuses mmcv 2.2 and newer: '
            'pip uninstall mmcv mmcv-lite, then pip install mmcv-lite==2.1.0'
        )
    numpy = metadata.version('numpy')
    if () < numbers_of(torch) < (2, 3) and numbers_of(numpy) >= (2,):
        raise DependencyError(
            f'torch {torch} was built for numpy 1, but numpy {numpy} is installed: '
            'pip install numpy==1.26.4'
        )


def version_of(package: str) -> str:
    """Version that ``version.py`` of a package states, without importing it; '' without one."""
    spec = importlib.util.find_spec(package)
    file = Path(spec.origin).with_name('version.py') if spec and spec.origin else Path()
    text = file.read_text(encoding='utf-8') if file.is_file() else ''
    stated = re.search(r"^__version__ = (version\()?'([^']+)'", text, re.MULTILINE)
    if stated is None:
        return ''
    if stated.group(1):  # the fork: version('onedl-mmengine')
        from importlib import metadata

        return metadata.version(stated.group(2))
    return stated.group(2)


def numbers_of(version: str) -> tuple[int, ...]:
    """'2.13.0+cpu' -> (2, 13, 0)."""
    begin = re.match(r'[\d.]*', version)
    return tuple(int(part) for part in (begin[0] if begin else '').split('.') if part)


def _dotted(numbers: tuple[int, ...]) -> str:
    return '.'.join(map(str, numbers)) if len(numbers) > 1 else f'{numbers[0]}.0'
