"""Stage 4 of the Mapillary chain: Cityscapes train and val again, 20000 iterations at lr 0.0001.

Published: 84.2 mIoU on the test server.
"""

_base_ = [
    '../_base_/preprocessors/rgb.py',
    '../_base_/datasets/cityscapes_trainval.py',
    '../_base_/models/ocr_b_hrnet48_ohem.py',
    '../_base_/schedules/sgd_20k.py',
    '../_base_/default_runtime.py',
]

model = dict(data_preprocessor=dict(**_base_.data_preprocessor, size=_base_.crop_size), decode_head=_base_.ocr_head)
optim_wrapper = dict(optimizer=dict(lr=0.0001))
load_from = 'work_dirs/ocr_b/hrnet48_mapillary_cityscapes_coarse_50k/iter_50000.pth'
