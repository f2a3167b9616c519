"""SegFix without a network: targets from label maps, offset files, mended labels, for any tool.

Labels and offsets in, labels out; nothing here builds a model or reads a config. Start with
``refine.refine_labels``, ``fields.distance_and_direction`` or ``tools/segfix.py --help``.
"""
