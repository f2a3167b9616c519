"""Parts and clothes of people: LIP, CIHP and ATR, ``<split>/{image,label,edge}``.

Left and right parts change places when a picture is mirrored.
"""

from openseg_plugin.datasets.base import ConvertedDataset, how_to_convert, metainfo
from openseg_plugin.datasets.classes import human_parts
from openseg_plugin.registry import DATASETS


@DATASETS.register_module()
class LIPDataset(ConvertedDataset):
    """20 classes on single persons (Gong et al., 2017); reads ATR too, which is given LIP's ids."""

    METAINFO = metainfo(
        human_parts.LIP_CLASSES, human_parts.PALETTE, flip_pairs=human_parts.FLIP_PAIRS
    )
    HOW_TO_GET = how_to_convert('lip')


@DATASETS.register_module()
class CIHPDataset(ConvertedDataset):
    """20 classes on groups of persons (Gong et al., 2018)."""

    METAINFO = metainfo(
        human_parts.CIHP_CLASSES, human_parts.PALETTE, flip_pairs=human_parts.FLIP_PAIRS
    )
    HOW_TO_GET = how_to_convert('cihp')


@DATASETS.register_module()
class ATRDataset(ConvertedDataset):
    """ATR's own 18 classes (Liang et al., 2015), as ``--labels atr`` writes them."""

    METAINFO = metainfo(
        human_parts.ATR_CLASSES,
        human_parts.PALETTE[: len(human_parts.ATR_CLASSES)],
        flip_pairs=human_parts.ATR_FLIP_PAIRS,
    )
    HOW_TO_GET = how_to_convert('atr', '--labels atr --val-every 18')
