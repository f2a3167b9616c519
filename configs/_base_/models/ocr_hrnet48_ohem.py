"""ocr_hrnet48 with online hard example mining on the final logits, as openseg trains it."""

_base_ = './ocr_hrnet48.py'
model = dict(decode_head=dict(loss_decode=dict(_delete_=True, **_base_.openseg_ohem)))
