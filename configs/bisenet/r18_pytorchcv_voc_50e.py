"""BiSeNet, pytorch-cv, VOC: 71.89 mIoU on crops, 67.11 whole."""

_base_ = [
    '../_base_/preprocessors/rgb.py',
    '../_base_/datasets/voc_pytorchcv.py',
    '../_base_/models/bisenet_r18_pytorchcv.py',
    '../_base_/schedules/sgd_50e_pytorchcv.py',
    '../_base_/default_runtime.py',
]

model = dict(
    data_preprocessor=dict(**_base_.data_preprocessor, size=_base_.crop_size),
    decode_head=dict(num_classes=_base_.num_classes),
    auxiliary_head=[dict(head, num_classes=_base_.num_classes) for head in _base_.model.auxiliary_head],
)
tta_model = _base_.pytorchcv_multi_scale
# only the ResNet starts from ImageNet weights
optim_wrapper = dict(paramwise_cfg=dict(backbone_prefix='backbone.context'))
