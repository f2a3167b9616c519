"""Segmentors: what turns pictures into label maps."""

from openseg_plugin.models.segmentors.encoder_decoder import EncoderDecoder
from openseg_plugin.models.segmentors.hierarchical_multi_scale import (
    HierarchicalMultiScaleSegmentor,
)
from openseg_plugin.models.segmentors.oracle_encoder_decoder import IdealEncoderDecoder

__all__ = [
    'EncoderDecoder',
    'HierarchicalMultiScaleSegmentor',
    'IdealEncoderDecoder',
]
