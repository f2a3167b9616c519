"""CE2P with OCR on openseg's ResNet-101 at output stride 16 (``ce2p_ocrnet``)."""

_base_ = './r101.py'
model = dict(
    backbone=dict(output_stride=16),
    decode_head=dict(
        _delete_=True,
        type='openseg_plugin.CE2PHead',
        in_channels=(256, 512, 1024, 2048),
        channels=256,
        region=dict(in_index=2, in_channels=1024, channels=512, kernel_size=3, dropout_ratio=0.1),
        context='ocr',
        key_channels=256,
        conv_bias=True,
        dropout_ratio=0.1,
        align_corners=True,
        norm_cfg=_base_.norm_cfg,
        act_cfg=dict(type='ReLU'),
        loss_decode=dict(type='openseg_plugin.CrossEntropyLoss', loss_weight=1.0),
        loss_decoder=dict(type='openseg_plugin.CrossEntropyLoss', loss_weight=1.0),
        loss_region=dict(type='openseg_plugin.CrossEntropyLoss', loss_weight=0.4),
        loss_edge=dict(type='openseg_plugin.EdgeLoss', loss_weight=1.0),
    ),
)
