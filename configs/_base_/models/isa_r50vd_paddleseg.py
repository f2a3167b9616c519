"""ISA on ResNet-50-vd as in PaddleSeg: windows of 8x8, context first, auxiliary head on stage 3.

'top_left' is how PaddleSeg resizes logits where its configs leave align_corners off (Cityscapes);
its VOC configs set align_corners=True. Losses are averaged over all pixels, as PaddleSeg does.
"""

norm_cfg = dict(type='SyncBN', requires_grad=True)
model = dict(
    type='openseg_plugin.EncoderDecoder',
    backbone=dict(type='openseg_plugin.ResNetVd', depth=50, output_stride=8, norm_cfg=norm_cfg),
    decode_head=dict(
        type='openseg_plugin.ISAHead',
        in_channels=2048,
        in_index=3,
        channels=512,
        key_channels=256,
        windows=((8, 8),),
        value_bias=True,
        is_context_first=True,
        dropout_ratio=0.1,
        align_corners='top_left',
        norm_cfg=norm_cfg,
        act_cfg=dict(type='ReLU'),
        loss_decode=dict(type='openseg_plugin.CrossEntropyLoss', average='all'),
    ),
    auxiliary_head=dict(
        type='openseg_plugin.FCNHead',
        in_channels=1024,
        in_index=2,
        channels=256,
        dropout_ratio=0.1,
        align_corners='top_left',
        norm_cfg=norm_cfg,
        loss_decode=dict(type='openseg_plugin.CrossEntropyLoss', average='all', loss_weight=0.4),
    ),
    test_cfg=dict(mode='whole'),
)
