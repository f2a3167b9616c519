"""Segmentors: what turns images into label maps."""

from openseg_plugin.models.segmentors.encoder_decoder import EncoderDecoder
from openseg_plugin.models.segmentors.hierarchical_multi_scale import (
    HierarchicalMultiScaleSegmentor,
)
from openseg_plugin.models.segmentors.oracle_encoder_decoder import OracleEncoderDecoder

__all__ = [
    'EncoderDecoder',
    'HierarchicalMultiScaleSegmentor',
    'OracleEncoderDecoder',
]
