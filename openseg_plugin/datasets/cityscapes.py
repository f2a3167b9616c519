"""Cityscapes in the converted layout: ``<split>/{image,label}``, labels are train ids."""

from openseg_plugin.datasets.base import ConvertedDataset, how_to_convert, metainfo
from openseg_plugin.datasets.classes import cityscapes
from openseg_plugin.registry import DATASETS


@DATASETS.register_module()
class CityscapesDataset(ConvertedDataset):
    """19 classes (Cordts et al., 2016). Raw trees load too: give ``data_prefix`` and suffixes."""

    METAINFO = metainfo(
        cityscapes.CLASSES,
        cityscapes.PALETTE,
        # what the release and its server call the classes: labels.py of cityscapesScripts
        label_ids=cityscapes.TRAIN_IDS,
    )
    HOW_TO_GET = how_to_convert('cityscapes')

    def __init__(self, *, img_suffix: str = '.png', seg_map_suffix: str = '.png', **kwargs) -> None:
        super().__init__(img_suffix=img_suffix, seg_map_suffix=seg_map_suffix, **kwargs)
