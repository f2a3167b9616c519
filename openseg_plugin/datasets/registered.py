"""Dataset classes, samplers and transforms, registered on import."""

from openseg_plugin.datasets import transforms
from openseg_plugin.datasets.base import ConvertedDataset, SegDataset
from openseg_plugin.datasets.custom import CustomDataset, ListDataset
from openseg_plugin.datasets.public import (
    ADE20KDataset,
    ATRDataset,
    CamVidDataset,
    CelebAMaskDataset,
    CIHPDataset,
    CityscapesDataset,
    COCOStuff10kDataset,
    COCOStuff164kDataset,
    LIPDataset,
    Mapillary66Dataset,
    MapillaryDataset,
    PascalContext60Dataset,
    PascalContextDataset,
    VOCDataset,
)
from openseg_plugin.datasets.samplers import (
    ClassUniformSampler,
    FineAndCoarseSampler,
    InfiniteSampler,
)

__all__ = [
    'ADE20KDataset',
    'ATRDataset',
    'CIHPDataset',
    'COCOStuff10kDataset',
    'COCOStuff164kDataset',
    'CamVidDataset',
    'CelebAMaskDataset',
    'CityscapesDataset',
    'ClassUniformSampler',
    'ConvertedDataset',
    'CustomDataset',
    'FineAndCoarseSampler',
    'InfiniteSampler',
    'LIPDataset',
    'ListDataset',
    'Mapillary66Dataset',
    'MapillaryDataset',
    'PascalContext60Dataset',
    'PascalContextDataset',
    'SegDataset',
    'VOCDataset',
    'transforms',
]
