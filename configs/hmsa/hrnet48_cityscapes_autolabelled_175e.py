"""The authors' best: with automatic labels for rare classes, lr 0.01, batch 16 x 1, 175 epochs.

Published: 86.8 mIoU on Cityscapes val with scales 0.5, 1, 2. Start weights as in
hrnet48_cityscapes_175e.py. Run it on 16 GPUs. The authors' max_cu_epoch is left out, as it
has no effect.
"""

_base_ = [
    '../_base_/preprocessors/rgb.py',
    '../_base_/datasets/cityscapes_nvidia_autolabelled.py',
    '../_base_/models/hmsa_hrnet48.py',
    '../_base_/schedules/sgd_175e_nvidia.py',
    '../_base_/default_runtime.py',
]

model = dict(
    data_preprocessor=dict(**_base_.data_preprocessor, size=_base_.crop_size),
    decode_head=dict(num_classes=_base_.num_classes),
)
tta_model = dict(merge='logits')  # the mean of both views before the softmax
optim_wrapper = dict(optimizer=dict(lr=0.01))
