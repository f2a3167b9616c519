"""OCR with ground-truth regions on openseg's ResNet-101 (``ideal_spatial_ocrnet``).

The other forms: ``model.decode_head.gather``, ``distribute`` and ``contexts``.
"""

_base_ = './ocr_r101.py'
model = dict(
    type='openseg_plugin.OracleEncoderDecoder',
    decode_head=dict(
        type='openseg_plugin.OracleOCRHead',
        gather='gt',
        distribute='gt',
        contexts=('object',),
        conv_bias=True,
    ),
)
