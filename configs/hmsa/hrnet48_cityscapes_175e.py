"""Hierarchical multi-scale attention: OCR, HRNet-W48, crops of 1024x2048, 175 epochs, batch 8 x 1.

Published: 86.92 mIoU on Cityscapes val with scales 0.5, 1, 2 (weights of the recipe with
auto-labels); this recipe, fine labels alone: 84.7. Start weights: the authors' Mapillary file
(ocrnet.HRNet_industrious-chicken.pth) as load_from with model.drop_classifier=True.
"""

_base_ = [
    '../_base_/preprocessors/rgb.py',
    '../_base_/datasets/cityscapes_nvidia.py',
    '../_base_/models/hmsa_hrnet48.py',
    '../_base_/schedules/sgd_175e_nvidia.py',
    '../_base_/default_runtime.py',
]

model = dict(
    data_preprocessor=dict(**_base_.data_preprocessor, size=_base_.crop_size),
    decode_head=dict(num_classes=_base_.num_classes),
)
tta_model = dict(merge='logits')  # the mean of both views before the softmax
