"""Converters from datasets as they are published, or as users make them, to one layout.

``convert(name, src, dst, options)`` writes ``dst/<split>/{image,label[,edge,instance]}`` and
``dst/dataset.json``. Each dataset has a module with one registered planning function; class
names and colors are constants in :mod:`classes`. Nothing here imports mmseg or models.
"""

from openseg_plugin.converters.datasets.core.plan import converters
from openseg_plugin.converters.datasets.core.run import Report, Settings, convert

__all__ = ['Report', 'Settings', 'convert', 'converters']
