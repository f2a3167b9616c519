"""CE2P with ASP-OCR on ResNet-101 (stride 16), LIP, 110000 iterations."""

_base_ = [
    '../_base_/preprocessors/rgb.py',
    '../_base_/datasets/lip.py',
    '../_base_/models/ce2p_asp_ocr_r101.py',
    '../_base_/schedules/sgd_110k_lip.py',
    '../_base_/default_runtime.py',
]

model = dict(data_preprocessor=dict(**_base_.data_preprocessor, size=_base_.crop_size), decode_head=_base_.head)
train_dataloader = dict(batch_size=10)  # 40 on 4 GPUs
