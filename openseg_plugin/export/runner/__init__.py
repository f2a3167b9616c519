"""The program that is written beside an exported model; it needs nothing of this package."""

import shutil
from pathlib import Path


def write_runner(model: Path) -> Path:
    """Puts ``run.py`` beside ``model``; returns its path."""
    target = model.parent / 'run.py'
    shutil.copyfile(Path(__file__).parent / 'run.py', target)
    return target
