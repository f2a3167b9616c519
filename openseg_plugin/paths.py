"""Where the config files are: inside the installed package, or beside it in a checkout."""

import difflib
from pathlib import Path

from openseg_plugin.errors import ConfigError

_PACKAGE = Path(__file__).resolve().parent


def configs_root() -> Path:
    """Folder of the config tree.

    Raises:
        ConfigError: when the package was installed without its configs.
    """
    for folder in (_PACKAGE / 'configs', _PACKAGE.parent / 'configs'):
        if (folder / '_base_' / 'default_runtime.py').is_file():
            return folder
    raise ConfigError(
        f'no configs were installed with {_PACKAGE}: install again with pip install . '
        'from a complete copy of the project'
    )


def config_path(name: str) -> Path:
    """Path of one of our configs, such as ``ocr/hrnet48_cityscapes_80k.py``.

    A leading ``configs/`` and a missing ``.py`` are forgiven.

    Raises:
        ConfigError: when there is no such config; names those with the nearest names.
    """
    root = configs_root()
    wanted = name.removeprefix('configs/').removesuffix('.py') + '.py'
    path = root / wanted
    if path.is_file() and path.resolve().is_relative_to(root.resolve()):
        return path
    raise ConfigError(f'there is no config {name} in {root}; {_hint(root, wanted)}')


def _hint(root: Path, wanted: str) -> str:
    names = [path.relative_to(root).as_posix() for path in sorted(root.glob('[!_]*/*.py'))]
    near = difflib.get_close_matches(wanted, names, n=3, cutoff=0.5)
    stem = Path(wanted).name
    near += [name for name in names if Path(name).name == stem and name not in near]
    if near:
        return f'near matches: {", ".join(near)}'
    methods = sorted({name.partition('/')[0] for name in names})
    return f'it has the folders {", ".join(methods)}'


def base_reference(name: str) -> str:
    """What a config anywhere writes into ``_base_`` for a file of ours, such as ocr/a.py.

    Raises:
        ConfigError: there is no such file.
    """
    return str(config_path(name))
