"""Ours against stock mmseg, side by side in one process: ``tools/benchmark.py``.

One module per subcommand, each with ``cases(setting)`` that yields :class:`.core.Case`.
"""
