"""Any backbone of timm and what its heads share: ``model.backbone.model_name`` is to be added.

Heads name the maps that they read by stride, so they fit every backbone. For the weights that a
network brings see ``pretrained`` and ``init_cfg`` of openseg_plugin.TimmBackbone; the constants of
the data preprocessor must be those of the weights, and others are refused by their name.
"""

norm_cfg = dict(type='SyncBN', requires_grad=True)
model = dict(
    type='openseg_plugin.EncoderDecoder',
    backbone=dict(type='openseg_plugin.TimmBackbone'),
    decode_head=dict(
        in_strides=(4, 8, 16, 32),
        align_corners=False,
        norm_cfg=norm_cfg,
        act_cfg=dict(type='ReLU'),
        loss_decode=dict(type='openseg_plugin.CrossEntropyLoss', loss_weight=1.0),
    ),
    test_cfg=dict(mode='whole'),
)
