"""CamVid in crops of 288x384 whose scale is 0.75 to 1.75, with weights for the rare classes.

Few crops need padding, and one has two thirds of the pixels of a whole image.
"""

_base_ = './camvid.py'

crop_size = (288, 384)  # height, width
# 1 / log(1.05 + fraction of the train split's pixels), divided by their mean over the pixels
class_weight = [0.91, 0.72, 3.17, 0.58, 2.01, 1.32, 3.07, 3.1, 1.76, 3.37, 3.59]
head = dict(num_classes=_base_.num_classes, loss_decode=dict(class_weight=class_weight))
ocr_head = dict(head, loss_region=dict(class_weight=class_weight))
heads = dict(decode_head=head, auxiliary_head=head)

train_pipeline = [
    *_base_.steps.load_train,
    dict(type='openseg_plugin.RandomResize', scale_range=(0.75, 1.75), aspect_range=(0.9, 1.1)),
    dict(type='openseg_plugin.RandomCrop', crop_size=crop_size, pad_mode='random'),
    *_base_.train_pipeline[5:],
]

train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
