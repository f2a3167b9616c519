"""Prediction: test-time augmentation and the evaluation protocols of the original projects."""

from openseg_plugin.inference.multi_scale_flip import MultiScaleFlip
from openseg_plugin.inference.openseg_multi_scale import OpenSegMultiScale
from openseg_plugin.inference.views import MultiScaleViews, PackMultiScaleInputs
from openseg_plugin.inference.zoo_multi_scale import ZooMultiScale

__all__ = [
    'MultiScaleFlip',
    'MultiScaleViews',
    'OpenSegMultiScale',
    'PackMultiScaleInputs',
    'ZooMultiScale',
]
