"""ADE20K, the scene parsing benchmark."""

from openseg_plugin.datasets.base import ConvertedDataset, how_to_convert, metainfo
from openseg_plugin.datasets.classes import ade20k
from openseg_plugin.registry import DATASETS


@DATASETS.register_module()
class ADE20KDataset(ConvertedDataset):
    """150 classes (Zhou et al., 2017); raw label 0 is ignored, k is class k - 1."""

    METAINFO = metainfo(ade20k.CLASSES, ade20k.PALETTE)
    HOW_TO_GET = how_to_convert('ade20k')
    REDUCE_ZERO_LABEL = True
