"""Transforms of the recipes: checked labels, resizing, cropping, flipping, colours."""

from openseg_plugin.datasets.transforms.cropping import RandomCrop
from openseg_plugin.datasets.transforms.flipping import RandomFlip
from openseg_plugin.datasets.transforms.loading import LoadLabels, SeedSample
from openseg_plugin.datasets.transforms.packing import PackSegInputs
from openseg_plugin.datasets.transforms.photometric import ColorJitter, RandomBrightness
from openseg_plugin.datasets.transforms.resizing import RandomResize, ResizeTo, ShortSideResize
from openseg_plugin.datasets.transforms.short_side import (
    RandomBlur,
    RandomShortSide,
    ShortSideCenterCrop,
)

__all__ = [
    'ColorJitter',
    'LoadLabels',
    'PackSegInputs',
    'RandomBlur',
    'RandomBrightness',
    'RandomCrop',
    'RandomFlip',
    'RandomResize',
    'RandomShortSide',
    'ResizeTo',
    'SeedSample',
    'ShortSideCenterCrop',
    'ShortSideResize',
]
