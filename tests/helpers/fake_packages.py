"""Python processes with packages of the test's own making before those that are installed."""

import os
import subprocess
import sys
from pathlib import Path

PROJECT = Path(__file__).parents[2]


def run_python(code: str, *folders: Path, cwd: Path = PROJECT) -> subprocess.CompletedProcess:
    """``python -c code`` that finds ``folders`` before everything that is installed."""
    paths = os.pathsep.join(map(str, (*folders, PROJECT)))
    environment = {**os.environ, 'PYTHONPATH': paths, 'OMP_NUM_THREADS': '1'}
    command = [sys.executable, '-c', code]
    return subprocess.run(command, env=environment, cwd=cwd, capture_output=True, text=True)


def fake_package(folder: Path, name: str, version: str, *, code: str = '', **modules: str) -> None:
    """A package of this version with one file per entry of ``modules``."""
    package = folder / name
    package.mkdir()
    (package / '__init__.py').write_text(code)
    (package / 'version.py').write_text(f"__version__ = '{version}'\n")
    for module, text in modules.items():
        (package / f'{module}.py').write_text(text)
