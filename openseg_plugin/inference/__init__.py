"""Prediction: test-time augmentation and the evaluation protocols of the original projects."""

from openseg_plugin.inference.multi_scale_flip import MultiScaleFlip
from openseg_plugin.inference.protocol_models import OpenSegMultiScale, PytorchCVMultiScale
from openseg_plugin.inference.views import MultiScaleViews, PackMultiScaleInputs

__all__ = [
    'MultiScaleFlip',
    'MultiScaleViews',
    'OpenSegMultiScale',
    'PackMultiScaleInputs',
    'PytorchCVMultiScale',
]
