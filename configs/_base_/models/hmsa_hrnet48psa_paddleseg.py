"""Hierarchical multi-scale attention on HRNet-W48 with polarized self-attention, as in PaddleSeg.

Joint logits are trained with cross entropy and region mutual information, joint region logits with
cross entropy of weight 0.4, each scale by itself with weight 0.05.
"""

_base_ = './hmsa_hrnet48_paddleseg.py'

cross_entropy = dict(type='openseg_plugin.CrossEntropyLoss', average='all')
region_information = dict(
    type='openseg_plugin.RMILoss', base_weight=0.0, rmi_weight=1.0, pool='max', pool_size=3, pool_stride=3
)
model = dict(
    backbone=dict(polarized_attention=True),
    decode_head=dict(
        loss_decode=[region_information, cross_entropy],
        loss_region=[dict(cross_entropy, loss_weight=0.4)],
    ),
    loss_scale=[dict(cross_entropy, loss_weight=0.05)],
)
