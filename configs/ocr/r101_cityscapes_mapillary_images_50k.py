"""OCR on ResNet-101 with images of Mapillary in Cityscapes' classes, 50000 iterations at lr 0.0001.

openseg names this variant of its second stage, but not how the images were labelled nor where
it starts. Put them, with train ids of Cityscapes, under ``$DATA_ROOT/mapillary_cityscapes/train``
(``image``, ``label``); the start is that of the coarse stage, and so are batch and crop.
"""

_base_ = './r101_cityscapes_coarse_100k.py'

train_dataloader = dict(
    dataset=dict(
        data_root='{{$DATA_ROOT:data}}/mapillary_cityscapes',
        data_prefix=dict(img_path='train/image', seg_map_path='train/label'),
    )
)
train_cfg = dict(max_iters=50000)
