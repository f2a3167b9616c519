"""HRNet-W48 without context as in HRNet-Semantic-Segmentation: 1x1 head, no dropout.

align_corners is False in its Cityscapes, LIP and PASCAL-Context experiments; ADE20K and COCO-Stuff
leave it True.
"""

_base_ = './fcn_hrnet48.py'
model = dict(
    backbone=dict(align_corners=False),
    decode_head=dict(kernel_size=1, dropout_ratio=0.0, align_corners=False),
)
