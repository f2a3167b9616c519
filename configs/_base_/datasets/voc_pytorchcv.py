"""PASCAL VOC as pytorch-cv trains and tests: 480x480 crops, batch 8 per GPU on 8 GPUs.

Validation and test follow the two protocols of its tables: ``val (crop)`` while training (short
side at the crop size, center crop), ``val`` (whole images at their own size) in the test. For
the other one in the test:

    --cfg-options test_dataloader.dataset.pipeline.2.size=480
"""

_base_ = ['./voc.py', '../pipelines/pytorchcv_steps.py']

base_size = 540  # short side in training: 0.5 to 2 times this
crop_size = (480, 480)  # height, width
tta_options = dict(PytorchCVMultiScale=dict(base_size=base_size, crop_size=crop_size[0]))
pytorchcv_multi_scale = dict(
    _delete_=True, type='openseg_plugin.PytorchCVMultiScale', **tta_options['PytorchCVMultiScale']
)

train_pipeline = [
    *_base_.steps.load_train,
    _base_.steps.flip,
    dict(type='openseg_plugin.RandomShortSide', base_size=base_size, scale_range=(0.5, 2.0)),
    # black and, as in pytorch-cv, of class 0 (background)
    dict(type='Pad', size=crop_size[::-1], pad_val=dict(img=0, seg=0)),
    dict(type='openseg_plugin.RandomCrop', crop_size=crop_size),
    *_base_.pytorchcv_steps.blur_and_pack,
]
val_pipeline = [
    *_base_.steps.load,
    dict(type='openseg_plugin.ShortSideCenterCrop', size=crop_size[0]),
    _base_.steps.pack,
]
test_pipeline = [*_base_.steps.load, _base_.pytorchcv_steps.whole, _base_.steps.pack]
tta_pipeline = [*_base_.steps.load, _base_.steps.one_scale, _base_.steps.pack_views]

train_dataloader = dict(batch_size=8, dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=val_pipeline))
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))
