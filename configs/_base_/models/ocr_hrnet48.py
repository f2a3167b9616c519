"""OCR on HRNet-W48 as in openseg.pytorch: 3x3 region head, biased convolutions, dropout 0.05."""

_base_ = './hrnet48.py'
# What openseg's *_RMI configs train the final logits with, without OHEM and class weights: it pools
# by the maximum over 3x3 pixels.
openseg_rmi = dict(type='openseg_plugin.RMILoss', pool='max', pool_size=3, pool_stride=3, ridge=1e-3)
openseg_ohem = dict(type='openseg_plugin.OHEMCrossEntropyLoss', thresh=0.9, min_kept=100000)
model = dict(
    decode_head=dict(
        type='openseg_plugin.OCRHead',
        channels=512,
        key_channels=256,
        region=dict(channels=sum(_base_.branch_channels), kernel_size=3),
        conv_bias='all',
        dropout_ratio=0.05,
        loss_decode=dict(type='openseg_plugin.CrossEntropyLoss', loss_weight=1.0),
        loss_region=dict(type='openseg_plugin.CrossEntropyLoss', loss_weight=0.4),
    ),
)
