"""OCR "B" on HRNet-W48 (openseg.pytorch, Mapillary): half the width in the head."""

_base_ = './ocr_hrnet48.py'
model = dict(decode_head=dict(channels=256, key_channels=128, region=dict(channels=256)))
