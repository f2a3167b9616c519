"""Cityscapes coarse: the 19998 coarsely labelled images of train_extra; val is fine.

``$DATA_ROOT/cityscapes/coarse/{image,label}``. Batch 16 = 4 per GPU on 4 GPUs.
"""

_base_ = './cityscapes.py'

train_dataloader = dict(
    batch_size=4,
    dataset=dict(data_prefix=dict(img_path='coarse/image', seg_map_path='coarse/label')),
)
