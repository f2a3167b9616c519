"""OCR on any backbone of timm: ``model.backbone.model_name`` is all there is to change.

The heads name the maps that they read by stride. For the weights that a network brings see
``pretrained`` and ``init_cfg`` of openseg_plugin.TimmBackbone; the constants of the data
preprocessor must be those of the weights, and a wrong one is refused by its name.
"""

norm_cfg = dict(type='SyncBN', requires_grad=True)
model = dict(
    type='openseg_plugin.EncoderDecoder',
    backbone=dict(type='openseg_plugin.TimmBackbone'),
    decode_head=dict(
        type='openseg_plugin.OCRHead',
        in_strides=(4, 8, 16, 32),
        channels=512,
        key_channels=256,
        region=dict(channels=512, kernel_size=1),
        align_corners=False,
        norm_cfg=norm_cfg,
        act_cfg=dict(type='ReLU'),
        loss_decode=dict(type='openseg_plugin.CrossEntropyLoss', loss_weight=1.0),
        loss_region=dict(type='openseg_plugin.CrossEntropyLoss', loss_weight=0.4),
    ),
    test_cfg=dict(mode='whole'),
)
