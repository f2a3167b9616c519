"""Transforms of the recipes: checked labels, resizing, cropping, flipping, colours."""

from openseg_plugin.datasets.transforms.brightness import RandomBrightness
from openseg_plugin.datasets.transforms.colour_jitter import ColourJitter
from openseg_plugin.datasets.transforms.cropping import RandomCrop
from openseg_plugin.datasets.transforms.flipping import RandomFlip
from openseg_plugin.datasets.transforms.loading import LoadLabels
from openseg_plugin.datasets.transforms.resizing import RandomResize, ResizeTo, ShortSideResize
from openseg_plugin.datasets.transforms.seed_sample import SeedSample
from openseg_plugin.datasets.transforms.segfix_targets import PackSegFixInputs, SegFixTargets
from openseg_plugin.datasets.transforms.short_side import (
    RandomBlur,
    RandomShortSide,
    ShortSideCenterCrop,
)

__all__ = [
    'ColourJitter',
    'LoadLabels',
    'PackSegFixInputs',
    'RandomBlur',
    'RandomBrightness',
    'RandomCrop',
    'RandomFlip',
    'RandomResize',
    'RandomShortSide',
    'ResizeTo',
    'SeedSample',
    'SegFixTargets',
    'ShortSideCenterCrop',
    'ShortSideResize',
]
