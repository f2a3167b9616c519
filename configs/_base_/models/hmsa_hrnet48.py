"""Hierarchical multi-scale attention on OCR, HRNet-W48, as in NVIDIA/semantic-segmentation."""

_base_ = './ocr_hrnet48_nvidia.py'
model = dict(
    type='openseg_plugin.HierarchicalMultiScaleSegmentor',
    scale_attention=dict(
        type='openseg_plugin.ScaleAttentionHead',
        in_channels=512,
        channels=256,
        norm_cfg=dict(type='SyncBN', requires_grad=True),
    ),
    scales=(0.5, 1.0, 2.0),
    train_scale=0.5,
    loss_scale=dict(type='openseg_plugin.RMILoss', base_weight=1.0, rmi_weight=0.0, loss_weight=0.05),
)
