"""OCR "B" on HRNet-W48 with online hard example mining on the final logits."""

_base_ = './ocr_hrnet48_ohem.py'
model = dict(decode_head=dict(channels=256, key_channels=128, region=dict(channels=256)))
