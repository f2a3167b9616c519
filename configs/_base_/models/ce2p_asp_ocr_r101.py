"""CE2P with ASP-OCR on openseg's ResNet-101 at output stride 16 (``ce2p_asp_ocrnet``)."""

_base_ = './ce2p_ocr_r101.py'
model = dict(decode_head=dict(context='asp_ocr', key_channels=128, dilations=(6, 12, 18)))
