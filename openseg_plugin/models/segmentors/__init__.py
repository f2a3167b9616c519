"""Segmentors: what turns images into label maps."""

from openseg_plugin.models.segmentors.encoder_decoder import EncoderDecoder, OracleEncoderDecoder
from openseg_plugin.models.segmentors.hierarchical_multi_scale import (
    HierarchicalMultiScaleSegmentor,
)

__all__ = [
    'EncoderDecoder',
    'HierarchicalMultiScaleSegmentor',
    'OracleEncoderDecoder',
]
