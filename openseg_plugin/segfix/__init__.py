"""SegFix: offline refinement of label maps from any tool, and the network that predicts offsets.

Offline (``refine``, ``targets``, ``offset_files``, ``apply``): labels and offsets in, labels out;
nothing there builds a model or reads a config. Start with ``refine.refine_labels``,
``targets.distance_and_direction`` or ``openseg segfix --help``. Importing this package is cheap;
what configs name is registered by its own modules.
"""

KINDS = {
    'train': 'class numbers 0, 1, 2 ... as networks are trained on them; 255 is void',
    'cityscapes': 'Cityscapes label ids 0..33, of which 19 are classes and the others void',
    'ade20k': 'ADE20K ids 1..150; 0 is void',
    'instance': 'Cityscapes instance ids: class * 1000 + number, or a label id for stuff (16 bit)',
}
"""Meanings of a number in a label file."""
METRICS = ('euclidean', 'taxicab')
"""Distances of the targets."""
MIN_PIXELS = 100
"""A class on fewer pixels of an image makes no region (instances always make one)."""
SAMPLINGS = ('gather', 'bilinear', 'bilinear_shifted')
"""'gather': the pixel itself. 'bilinear': the original with PyTorch <= 1.2, where a fractional
scale blends label numbers. 'bilinear_shifted': the original with PyTorch >= 1.3, whose new default
reads up to half a pixel beside the target and blends numbers everywhere."""
