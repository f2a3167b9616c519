"""PASCAL VOC 2012 as PaddleSeg tests on it: no image is resized, all are filled up to 512x512."""

_base_ = './voc_512.py'

test_padding = dict(size=_base_.crop_size)
test_pipeline = [*_base_.steps.load, _base_.steps.pack]
tta_pipeline = [*_base_.steps.load, _base_.steps.all_scales, _base_.steps.pack_views]

val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
