"""Dataset classes, samplers and transforms, registered on import."""

from openseg_plugin.datasets import transforms
from openseg_plugin.datasets.base import SegDataset
from openseg_plugin.datasets.camvid import CamVidDataset
from openseg_plugin.datasets.cityscapes import CityscapesDataset
from openseg_plugin.datasets.mapillary import MapillaryDataset
from openseg_plugin.datasets.samplers import InfiniteSampler

__all__ = [
    'CamVidDataset',
    'CityscapesDataset',
    'InfiniteSampler',
    'MapillaryDataset',
    'SegDataset',
    'transforms',
]
