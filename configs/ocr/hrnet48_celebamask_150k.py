"""OCR on HRNet-W48, CelebAMask-HQ, 150000 iterations."""

_base_ = [
    '../_base_/preprocessors/rgb.py',
    '../_base_/datasets/celebamask.py',
    '../_base_/models/ocr_hrnet48.py',
    '../_base_/schedules/sgd_150k.py',
    '../_base_/default_runtime.py',
]

model = dict(data_preprocessor=dict(**_base_.data_preprocessor, size=_base_.crop_size), decode_head=_base_.ocr_head)
train_dataloader = dict(batch_size=4)  # 16 on 4 GPUs
optim_wrapper = dict(optimizer=dict(lr=0.001, weight_decay=0.0001))
