"""Puts a function in the place of another, also where that was imported by name before us."""

import sys
from collections.abc import Callable
from typing import Any


def replace_everywhere(old: Callable[..., Any], new: Callable[..., Any]) -> None:
    """Put ``new`` in the place of ``old`` in every module that has it under its name."""
    name = getattr(old, '__name__', '')
    for module in list(sys.modules.values()):
        if getattr(module, '__dict__', {}).get(name) is old:
            setattr(module, name, new)
