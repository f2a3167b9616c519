"""Segmentors: what turns pictures into label maps."""

from openseg_plugin.models.segmentors.encoder_decoder import EncoderDecoder

__all__ = ['EncoderDecoder']
