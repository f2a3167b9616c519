"""OCR on HRNet-W48 at one scale as NVIDIA/semantic-segmentation builds it, 175 epochs, batch 8 x 1.

Loads its files of ocrnet.HRNet; those of Mapillary start a multi-scale training.
"""

_base_ = [
    '../_base_/preprocessors/rgb.py',
    '../_base_/datasets/cityscapes_nvidia.py',
    '../_base_/models/ocr_hrnet48_nvidia.py',
    '../_base_/schedules/sgd_175e_nvidia.py',
    '../_base_/default_runtime.py',
]

model = dict(
    data_preprocessor=dict(**_base_.data_preprocessor, size=_base_.crop_size),
    decode_head=dict(num_classes=_base_.num_classes),
)
tta_model = dict(merge='logits')  # the mean of both views before the softmax
