"""Transforms of the recipes: checked labels, resizing, cropping, flipping, colors."""

from openseg_plugin.datasets.transforms.cropping import RandomCrop, RandomFlip
from openseg_plugin.datasets.transforms.loading import LoadLabels, PackSegInputs, SeedSample
from openseg_plugin.datasets.transforms.photometric import ColorJitter, RandomBrightness
from openseg_plugin.datasets.transforms.resizing import (
    RandomBlur,
    RandomResize,
    RandomShortSide,
    ResizeTo,
    ShortSideCenterCrop,
    ShortSideResize,
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
