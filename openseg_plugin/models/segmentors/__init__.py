"""Segmentors: what turns pictures into label maps."""

from openseg_plugin.models.segmentors.encoder_decoder import EncoderDecoder
from openseg_plugin.models.segmentors.hierarchical_multi_scale import (
    HierarchicalMultiScaleSegmentor,
)
from openseg_plugin.models.segmentors.segfix import SegFix

__all__ = ['EncoderDecoder', 'HierarchicalMultiScaleSegmentor', 'SegFix']
