"""OCR on HRNet-W48 as in mmseg: 1x1 region head, no bias before norms, no dropout.

Losses are averaged over all pixels, as mmseg does by default.
"""

_base_ = './ocr_hrnet48.py'
model = dict(
    backbone=dict(align_corners=False),
    decode_head=dict(
        region=dict(kernel_size=1),
        conv_bias='none',
        dropout_ratio=0.0,
        align_corners=False,
        loss_decode=dict(average='all'),
        loss_region=dict(average='all'),
    ),
)
