"""SegFix: offline refinement of label maps from any tool, and the network that predicts offsets.

Offline (``refine``, ``targets``, ``offset_files``, ``apply``): labels and offsets in, labels out;
nothing there builds a model or reads a config. Start with ``refine.refine_labels``,
``targets.distance_and_direction`` or ``tools/segfix.py --help``. Importing this package is cheap;
:mod:`openseg_plugin.segfix.registered` imports what configs name.
"""
