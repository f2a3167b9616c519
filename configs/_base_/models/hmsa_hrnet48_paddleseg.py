"""Hierarchical multi-scale attention as in PaddleSeg's CityscapesSOTA: dice + bootstrapped losses.

Joint logits weigh 1, joint region logits 0.4 and each scale by itself 0.05, in both kinds of loss.
"""

_base_ = './hmsa_hrnet48.py'

losses = [
    dict(type='openseg_plugin.DiceLoss'),
    dict(type='openseg_plugin.BootstrappedCrossEntropyLoss', min_kept=100000, thresh=0.05),
]
model = dict(
    exact_ratio=True,
    decode_head=dict(
        loss_decode=[dict(loss, loss_weight=1.0) for loss in losses],
        loss_region=[dict(loss, loss_weight=0.4) for loss in losses],
    ),
    loss_scale=[dict(loss, loss_weight=0.05) for loss in losses],
)
