"""r101_ocr_lip_110k with the image order and mean that published openseg weights need."""

_base_ = [
    '../_base_/preprocessors/openseg_bgr_r101_lip.py',
    '../_base_/datasets/lip.py',
    '../_base_/models/ce2p_ocr_r101.py',
    '../_base_/schedules/sgd_110k_lip.py',
    '../_base_/default_runtime.py',
]

model = dict(data_preprocessor=dict(**_base_.data_preprocessor, size=_base_.crop_size), decode_head=_base_.head)
train_dataloader = dict(batch_size=10)  # 40 on 4 GPUs
tta_model = dict(merge='logits')  # openseg sums raw logits
