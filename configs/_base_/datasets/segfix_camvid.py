"""camvid for SegFix: whole images, flipped at random; boundaries and directions as targets."""

_base_ = ['./camvid.py', '../pipelines/segfix_steps.py']

train_pipeline = [
    *_base_.steps.load_train,
    _base_.steps.flip,
    _base_.segfix_targets,
    dict(type='openseg_plugin.RandomCrop', crop_size=_base_.crop_size, pad_mode='random'),
    _base_.steps.brightness,
    _base_.segfix_steps.pack_train,
]
test_pipeline = [
    *_base_.steps.load,
    _base_.segfix_targets,
    _base_.segfix_steps.pack,
]

train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))
val_evaluator = dict(_delete_=True, type='openseg_plugin.SegFixMetric')
test_evaluator = val_evaluator
