"""OCR on HRNet-W48 as in HRNet-Semantic-Segmentation, branch HRNet-OCR: 1x1 region head."""

_base_ = './ocr_hrnet48.py'
model = dict(decode_head=dict(region=dict(kernel_size=1), conv_bias='input'))
