"""Stage 3 of the Mapillary chain: coarse Cityscapes, 50000 iterations of batch 16 at lr 0.0001.

The authors' zoo says that BatchNorm was frozen here, their code does not show it; this file
freezes the backbone's statistics.
"""

_base_ = [
    '../_base_/preprocessors/rgb.py',
    '../_base_/datasets/cityscapes_coarse.py',
    '../_base_/models/ocr_b_hrnet48_ohem.py',
    '../_base_/schedules/sgd_50k.py',
    '../_base_/default_runtime.py',
]

model = dict(
    data_preprocessor=dict(**_base_.data_preprocessor, size=_base_.crop_size),
    backbone=dict(norm_eval=True),
    decode_head=_base_.ocr_head,
)
optim_wrapper = dict(optimizer=dict(lr=0.0001))
load_from = 'work_dirs/ocr_b/hrnet48_mapillary_cityscapes_trainval_120k/iter_120000.pth'
