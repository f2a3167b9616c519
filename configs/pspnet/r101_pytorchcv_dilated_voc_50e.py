"""PSPNet, dilated, pytorch-cv, VOC: 80.13 mIoU on crops, 78.57 whole."""

_base_ = [
    '../_base_/models/pspnet_r101_pytorchcv.py',
    '../_base_/datasets/voc_pytorchcv.py',
    '../_base_/preprocessors/rgb.py',
    '../_base_/schedules/sgd_50e_pytorchcv.py',
    '../_base_/default_runtime.py',
]

model = dict(
    data_preprocessor=dict(**_base_.data_preprocessor, size=_base_.crop_size),
    backbone=dict(output_stride=8),
    neck=None,
    decode_head=dict(num_classes=_base_.num_classes),
    auxiliary_head=dict(num_classes=_base_.num_classes),
)
tta_model = dict(
    _delete_=True,
    type='openseg_plugin.PytorchCVMultiScale',
    **_base_.tta_options.PytorchCVMultiScale,
)
# 8 GPUs with 4 images each
train_dataloader = dict(batch_size=4)
optim_wrapper = dict(optimizer=dict(lr=1e-3 * 32 / 8))
