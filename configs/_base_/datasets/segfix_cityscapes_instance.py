"""segfix_cityscapes with the edges of single objects: every instance is a region of its own.

Needs ``<split>/instance``: tools/convert_dataset.py cityscapes ... --instance.
"""

_base_ = './segfix_cityscapes.py'

instances = dict(instance_dir='../instance')  # relative to the label folder
targets = 'openseg_plugin.SegFixTargets'
train_pipeline = [dict(step, **(instances if step['type'] == targets else {})) for step in _base_.train_pipeline]
test_pipeline = [dict(step, **(instances if step['type'] == targets else {})) for step in _base_.test_pipeline]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))
