"""CelebAMask-HQ: parts of faces. Pictures have 1024 x 1024 pixels, labels 512 x 512."""

from openseg_plugin.datasets.base import ConvertedDataset, how_to_convert, metainfo
from openseg_plugin.datasets.classes import celebamask_hq
from openseg_plugin.registry import DATASETS


@DATASETS.register_module()
class CelebAMaskDataset(ConvertedDataset):
    """18 attributes and background (Lee et al., 2020); nothing is ignored."""

    METAINFO = metainfo(
        celebamask_hq.CLASSES, celebamask_hq.PALETTE, flip_pairs=celebamask_hq.FLIP_PAIRS
    )
    HOW_TO_GET = how_to_convert('celebamask_hq')
