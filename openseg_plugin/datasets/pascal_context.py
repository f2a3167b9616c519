"""PASCAL-Context with 59 classes, or with background as the 60th; one tree serves both."""

from openseg_plugin.datasets.base import ConvertedDataset, how_to_convert, metainfo
from openseg_plugin.datasets.classes import pascal_context
from openseg_plugin.registry import DATASETS


@DATASETS.register_module()
class PascalContextDataset(ConvertedDataset):
    """59 classes (Mottaghi et al., 2014); raw label 0, all else in the picture, is ignored."""

    METAINFO = metainfo(pascal_context.CLASSES, pascal_context.PALETTE)
    HOW_TO_GET = how_to_convert('pascal_context')
    REDUCE_ZERO_LABEL = True


@DATASETS.register_module()
class PascalContext60Dataset(ConvertedDataset):
    """60 classes: class 0 is background, all that is none of the 59."""

    METAINFO = metainfo(
        ('background', *pascal_context.CLASSES), ((120, 120, 120), *pascal_context.PALETTE)
    )
    HOW_TO_GET = how_to_convert('pascal_context')
