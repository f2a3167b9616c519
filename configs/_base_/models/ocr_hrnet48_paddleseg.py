"""OCR on HRNet-W48 as in PaddleSeg: its padding of stride-2 convolutions, a bias everywhere.

1x1 region head, corners not aligned. Losses are averaged over all pixels, as PaddleSeg does.
"""

_base_ = './ocr_hrnet48.py'
model = dict(
    backbone=dict(align_corners=False, same_padding=True),
    decode_head=dict(
        region=dict(kernel_size=1, dropout_ratio=0.1),
        conv_bias='all',
        dropout_ratio=0.1,
        align_corners=False,
        loss_decode=dict(average='all'),
        loss_region=dict(average='all'),
    ),
)
