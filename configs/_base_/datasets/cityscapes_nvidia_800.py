"""As cityscapes_nvidia, with crops of 800x800 for DeepLabV3+ on GPUs with 16 GB."""

_base_ = './cityscapes_nvidia.py'

crop_size = (800, 800)  # height, width
train_pipeline = [
    dict(step, crop_size=crop_size) if step['type'].endswith('RandomCrop') else step for step in _base_.train_pipeline
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
