"""Decode heads: feature maps in, logits out."""

from openseg_plugin.models.heads.asp_oc_head import ASPOCHead
from openseg_plugin.models.heads.asp_ocr_head import ASPOCRHead
from openseg_plugin.models.heads.base_oc_head import BaseOCHead
from openseg_plugin.models.heads.cc_head import CCHead
from openseg_plugin.models.heads.ce2p_head import CE2PHead
from openseg_plugin.models.heads.da_head import DAHead
from openseg_plugin.models.heads.deeplabv3_head import DeepLabV3Head
from openseg_plugin.models.heads.deeplabv3plus_head import DeepLabV3PlusHead
from openseg_plugin.models.heads.fcn_head import FCNHead
from openseg_plugin.models.heads.isa_head import ISAHead
from openseg_plugin.models.heads.ocr_head import OCRHead
from openseg_plugin.models.heads.oracle_ocr_head import OracleOCRHead
from openseg_plugin.models.heads.psp_head import PSPHead
from openseg_plugin.models.heads.scale_attention_head import ScaleAttentionHead

__all__ = [
    'ASPOCHead',
    'ASPOCRHead',
    'BaseOCHead',
    'CCHead',
    'CE2PHead',
    'DAHead',
    'DeepLabV3Head',
    'DeepLabV3PlusHead',
    'FCNHead',
    'ISAHead',
    'OCRHead',
    'OracleOCRHead',
    'PSPHead',
    'ScaleAttentionHead',
]
