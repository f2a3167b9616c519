"""DeepLabV3+ on WideResNet-38 as in NVIDIA/semantic-segmentation: cross entropy.

Crops of 800x800, 175 epochs of batch 8 x 1.
"""

_base_ = [
    '../_base_/preprocessors/rgb.py',
    '../_base_/datasets/cityscapes_nvidia_800.py',
    '../_base_/models/deeplabv3plus_wrn38.py',
    '../_base_/schedules/sgd_175e_nvidia.py',
    '../_base_/default_runtime.py',
]

model = dict(
    data_preprocessor=dict(**_base_.data_preprocessor, size=_base_.crop_size),
    decode_head=dict(num_classes=_base_.num_classes),
)
tta_model = dict(merge='logits')  # the mean of both views before the softmax
