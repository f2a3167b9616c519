"""Hierarchical multi-scale attention on OCR, HRNet-W18, from scratch; cross entropy, small GPUs."""

_base_ = './hmsa_hrnet48.py'
width = 18
branch_channels = [width * 2**i for i in range(4)]
cross_entropy = 'openseg_plugin.CrossEntropyLoss'
model = dict(
    backbone=dict(width=width, init_cfg=None),
    decode_head=dict(
        in_channels=branch_channels,
        region=dict(channels=sum(branch_channels)),
        loss_decode=dict(_delete_=True, type=cross_entropy),
        loss_region=dict(_delete_=True, type=cross_entropy, loss_weight=0.4),
    ),
    loss_scale=dict(_delete_=True, type=cross_entropy, loss_weight=0.05),
)
