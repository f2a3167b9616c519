"""Template: OCR on HRNet-W48 for your own images, 48 epochs. Copy it, change what is marked.

From polygons to overlays, see docs/get_started/own_data.md. As it stands: power lines against
background, from the ImageNet weights of HRNet-W48.
"""

_base_ = [
    '../_base_/models/ocr_hrnet48.py',
    # CHANGE in your copy, or in this file: classes, colors, crop size, class weights.
    # list.py in place of own.py reads .lst files and needs no conversion.
    '../_base_/datasets/custom.py',
    '../_base_/preprocessors/rgb.py',
    '../_base_/schedules/sgd.py',
    '../_base_/default_runtime.py',
]

# CHANGE: how many GPUs you have.
gpus = 1
# sgd.py's learning rate is for batches of 8 images
batch = gpus * _base_.train_dataloader.batch_size
optim_wrapper = dict(optimizer=dict(lr=_base_.optim_wrapper.optimizer.lr * batch / 8))
train_cfg = dict(max_epochs=48, val_interval=4)
# The best and the newest weights are kept; the best by the mean IoU on val.
default_hooks = dict(checkpoint=dict(interval=200))

model = dict(
    data_preprocessor=dict(**_base_.data_preprocessor, size=_base_.crop_size),
    decode_head=_base_.ocr_head,
    # Images that are too large for the memory are predicted in overlapping windows instead:
    # test_cfg=dict(mode='slide', crop_size=(1024, 1024), stride=(768, 768)),
)
