"""Dataset classes, samplers and transforms, registered on import."""

from openseg_plugin.datasets import transforms
from openseg_plugin.datasets.ade20k import ADE20KDataset
from openseg_plugin.datasets.base import ConvertedDataset, SegDataset
from openseg_plugin.datasets.camvid import CamVidDataset
from openseg_plugin.datasets.celebamask import CelebAMaskDataset
from openseg_plugin.datasets.cityscapes import CityscapesDataset
from openseg_plugin.datasets.coco_stuff import COCOStuff10kDataset, COCOStuff164kDataset
from openseg_plugin.datasets.custom import OwnDataset
from openseg_plugin.datasets.human_parts import ATRDataset, CIHPDataset, LIPDataset
from openseg_plugin.datasets.list_dataset import ListDataset
from openseg_plugin.datasets.mapillary import Mapillary66Dataset, MapillaryDataset
from openseg_plugin.datasets.pascal_context import PascalContext60Dataset, PascalContextDataset
from openseg_plugin.datasets.pascal_voc import VOCDataset
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
    'FineAndCoarseSampler',
    'InfiniteSampler',
    'LIPDataset',
    'ListDataset',
    'Mapillary66Dataset',
    'MapillaryDataset',
    'OwnDataset',
    'PascalContext60Dataset',
    'PascalContextDataset',
    'SegDataset',
    'VOCDataset',
    'transforms',
]
