"""PSPNet, dilated, pytorch-cv, VOC: 80.13 mIoU on crops, 78.57 whole."""

_base_ = './r101_pytorchcv_jpu_voc_50e.py'

model = dict(backbone=dict(output_stride=8), neck=None)
# 8 GPUs with 4 images each
train_dataloader = dict(batch_size=4)
optim_wrapper = dict(optimizer=dict(lr=1e-3 * 32 / 8))
