"""ocr_r101 with online hard example mining on the final logits, as openseg trains it."""

_base_ = './ocr_r101.py'
model = dict(
    decode_head=dict(
        loss_decode=dict(_delete_=True, type='openseg_plugin.OHEMCrossEntropyLoss', thresh=0.7, min_kept=100000),
    ),
)
