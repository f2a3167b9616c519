"""Hierarchical multi-scale attention on OCR, EfficientNet-Lite0; cross entropy."""

_base_ = './ocr_lite0.py'
model = dict(
    type='openseg_plugin.HierarchicalMultiScaleSegmentor',
    scale_attention=dict(
        type='openseg_plugin.ScaleAttentionHead',
        in_channels=_base_.model.decode_head.channels,
        channels=64,
        norm_cfg=_base_.norm_cfg,
    ),
    scales=(0.5, 1.0, 2.0),
    train_scale=0.5,
    loss_scale=dict(type='openseg_plugin.CrossEntropyLoss', loss_weight=0.05),
)
