"""Decode heads: feature maps in, logits out."""

from openseg_plugin.models.decode_heads.deeplabv3plus_head import DeepLabV3PlusHead
from openseg_plugin.models.decode_heads.fcn_head import FCNHead
from openseg_plugin.models.decode_heads.isa_head import ISAHead
from openseg_plugin.models.decode_heads.ocr_head import OCRHead
from openseg_plugin.models.decode_heads.scale_attention_head import ScaleAttentionHead

__all__ = ['DeepLabV3PlusHead', 'FCNHead', 'ISAHead', 'OCRHead', 'ScaleAttentionHead']
