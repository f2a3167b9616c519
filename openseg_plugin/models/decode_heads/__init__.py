"""Decode heads: feature maps in, logits out."""

from openseg_plugin.models.decode_heads.cc_head import CCHead
from openseg_plugin.models.decode_heads.da_head import DAHead
from openseg_plugin.models.decode_heads.deeplabv3_head import DeepLabV3Head
from openseg_plugin.models.decode_heads.deeplabv3plus_head import DeepLabV3PlusHead
from openseg_plugin.models.decode_heads.fcn_head import FCNHead
from openseg_plugin.models.decode_heads.isa_head import ISAHead
from openseg_plugin.models.decode_heads.ocr_head import OCRHead
from openseg_plugin.models.decode_heads.psp_head import PSPHead
from openseg_plugin.models.decode_heads.scale_attention_head import ScaleAttentionHead
from openseg_plugin.models.decode_heads.segfix_head import SegFixHead

__all__ = [
    'CCHead',
    'DAHead',
    'DeepLabV3Head',
    'DeepLabV3PlusHead',
    'FCNHead',
    'ISAHead',
    'OCRHead',
    'PSPHead',
    'ScaleAttentionHead',
    'SegFixHead',
]
