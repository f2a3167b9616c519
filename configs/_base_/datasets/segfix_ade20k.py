"""ade20k for SegFix: short side at least 512, crops of 512x512; boundaries and directions.

Targets are those of the stored image and resized with it, as in openseg.pytorch.
"""

_base_ = ['./ade20k.py', '../pipelines/segfix_steps.py']

crop_size = (512, 512)  # height, width

train_pipeline = [
    *_base_.steps.load_train,
    _base_.steps.flip,
    _base_.segfix_targets,
    dict(type='openseg_plugin.ShortSideResize', length=crop_size[0]),
    dict(type='openseg_plugin.RandomCrop', crop_size=crop_size, pad_mode='random'),
    _base_.steps.brightness,
    _base_.segfix_steps.pack_train,
]
test_pipeline = [
    *_base_.steps.load,
    _base_.segfix_targets,
    dict(type='openseg_plugin.ShortSideResize', length=crop_size[0], with_labels=False),
    _base_.segfix_steps.pack,
]

train_dataloader = dict(batch_size=4, dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))
val_evaluator = dict(_delete_=True, type='openseg_plugin.SegFixMetric')
test_evaluator = val_evaluator
