"""Lets the tools of a checkout run where the package is not installed; imported by each of them."""

import importlib.util
import sys
from pathlib import Path

if importlib.util.find_spec('openseg_plugin') is None:
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
