"""The OpenSeg family of semantic segmentation methods as a plug-in for MMSegmentation 1.2.

Importing this package is cheap: it only fixes what today's Python and PyTorch miss
(:mod:`openseg_plugin.compat`). Everything else is found through the registries
(:mod:`openseg_plugin.registry`) under the scope ``openseg_plugin``.
"""

from openseg_plugin import compat

__version__ = '0.2.0'

compat.apply()
