"""OCR on WideResNet-38, Cityscapes fine in crops of 800x800, batch 16, lr 0.002.

openseg's W_38_D_8 config: RGB, crop, batch, learning rate, OHEM (0.7, 200000 pixels), weight 0.2 of
the auxiliary output, no class weights. Chosen here, since it names none: the head, where its
regions come from, 40000 iterations, and the statistics of the images. Nothing is published for it.
"""

_base_ = [
    '../_base_/preprocessors/rgb.py',
    '../_base_/datasets/cityscapes_800.py',
    '../_base_/models/ocr_wrn38.py',
    '../_base_/schedules/sgd_40k.py',
    '../_base_/default_runtime.py',
]

model = dict(
    data_preprocessor=dict(**_base_.data_preprocessor, size=_base_.crop_size),
    decode_head=dict(num_classes=_base_.num_classes),
)
optim_wrapper = dict(optimizer=dict(lr=0.002))
