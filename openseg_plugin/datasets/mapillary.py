"""Mapillary Vistas v1.1 / v1.2 with its own labels, ``<split>/{image,label}``."""

from openseg_plugin.datasets.base import ConvertedDataset, how_to_convert, metainfo
from openseg_plugin.datasets.classes import mapillary
from openseg_plugin.registry import DATASETS

_UNLABELED = mapillary.CLASSES.index('Unlabeled')


@DATASETS.register_module()
class MapillaryDataset(ConvertedDataset):
    """65 classes (Neuhold et al., 2017); raw label 65 (Unlabeled) is ignored."""

    METAINFO = metainfo(
        mapillary.CLASSES[:_UNLABELED], mapillary.PALETTE[:_UNLABELED], void_ids=(_UNLABELED,)
    )
    HOW_TO_GET = how_to_convert('mapillary')


@DATASETS.register_module()
class Mapillary66Dataset(ConvertedDataset):
    """66 classes: Unlabeled counts as one, as in mmseg's ``MapillaryDataset_v1``."""

    METAINFO = metainfo(mapillary.CLASSES, mapillary.PALETTE)
    HOW_TO_GET = how_to_convert('mapillary')
