"""Decode heads: feature maps in, logits out."""

from openseg_plugin.models.decode_heads.fcn_head import FCNHead
from openseg_plugin.models.decode_heads.ocr_head import OCRHead

__all__ = ['FCNHead', 'OCRHead']
