"""cityscapes for SegFix: crops of 512x512, no resizing; boundaries and directions as targets.

Targets are generated from the labels on the fly. To read files of openseg segfix make-targets,
give SegFixTargets ``target_dir='../offset_gt/dt_offset'`` (relative to the label folder).
Batch 16 = 4 per GPU on 4 GPUs.
"""

_base_ = ['./cityscapes.py', '../pipelines/segfix_steps.py']

crop_size = (512, 512)  # height, width

train_pipeline = [
    *_base_.steps.load_train,
    _base_.steps.flip,
    _base_.segfix_targets,
    dict(type='openseg_plugin.RandomCrop', crop_size=crop_size, pad_mode='random'),
    _base_.steps.brightness,
    _base_.segfix_steps.pack_train,
]
test_pipeline = [
    *_base_.steps.load,
    _base_.segfix_targets,
    _base_.segfix_steps.pack,
]

train_dataloader = dict(batch_size=4, dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))
val_evaluator = dict(_delete_=True, type='openseg_plugin.SegFixMetric')
test_evaluator = val_evaluator
