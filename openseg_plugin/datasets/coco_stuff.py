"""COCO-Stuff: the 10k and the 164k release; their label values differ, their classes do not."""

from openseg_plugin.datasets.base import ConvertedDataset, how_to_convert, metainfo
from openseg_plugin.datasets.classes import coco_stuff
from openseg_plugin.registry import DATASETS


@DATASETS.register_module()
class COCOStuff10kDataset(ConvertedDataset):
    """171 classes (Caesar et al., 2018); raw label 0 is ignored, k is class k - 1."""

    METAINFO = metainfo(coco_stuff.CLASSES, coco_stuff.PALETTE)
    HOW_TO_GET = how_to_convert('coco_stuff10k')
    REDUCE_ZERO_LABEL = True


@DATASETS.register_module()
class COCOStuff164kDataset(ConvertedDataset):
    """171 classes; labels are 0..170, and 255 is ignored."""

    METAINFO = metainfo(coco_stuff.CLASSES, coco_stuff.PALETTE)
    HOW_TO_GET = how_to_convert('coco_stuff164k')
