"""Stage 2 of the Mapillary chain: Cityscapes train and val, 120000 iterations at lr 0.001.

Published: 83.63 mIoU on the test server.
"""

_base_ = [
    '../_base_/preprocessors/rgb.py',
    '../_base_/datasets/cityscapes_trainval.py',
    '../_base_/models/ocr_b_hrnet48_ohem.py',
    '../_base_/schedules/sgd_120k.py',
    '../_base_/default_runtime.py',
]

model = dict(
    data_preprocessor=dict(**_base_.data_preprocessor, size=_base_.crop_size),
    drop_classifier=True,  # another class list, or none: the classifier starts anew
    decode_head=_base_.ocr_head,
)
optim_wrapper = dict(optimizer=dict(lr=0.001))
load_from = 'work_dirs/ocr_b/hrnet48_mapillary_500k/iter_500000.pth'
