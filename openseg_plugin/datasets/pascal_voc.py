"""PASCAL VOC 2012 segmentation, with SBD's masks in train."""

from openseg_plugin.datasets.base import ConvertedDataset, how_to_convert, metainfo
from openseg_plugin.datasets.classes import pascal_voc
from openseg_plugin.registry import DATASETS


@DATASETS.register_module()
class VOCDataset(ConvertedDataset):
    """20 classes and background, 255 ignored (Everingham et al., 2010)."""

    METAINFO = metainfo(pascal_voc.CLASSES, pascal_voc.PALETTE)
    HOW_TO_GET = how_to_convert('pascal_voc')
