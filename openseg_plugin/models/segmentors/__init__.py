"""Segmentors: what turns pictures into label maps."""

from openseg_plugin.models.segmentors.encoder_decoder import EncoderDecoder
from openseg_plugin.models.segmentors.hierarchical_multi_scale import (
    HierarchicalMultiScaleSegmentor,
)
from openseg_plugin.models.segmentors.ideal_encoder_decoder import IdealEncoderDecoder
from openseg_plugin.models.segmentors.segfix import SegFix

__all__ = [
    'EncoderDecoder',
    'HierarchicalMultiScaleSegmentor',
    'IdealEncoderDecoder',
    'SegFix',
]
