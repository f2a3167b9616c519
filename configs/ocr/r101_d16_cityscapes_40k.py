"""r101_769_cityscapes_40k at stride 16, last stage with dilations 1, 4, 8.

openseg's R_101_D_16 config, which names no head (OCR is a choice) and three test scales; nothing
is published for it.
"""

_base_ = './r101_769_cityscapes_40k.py'
model = dict(backbone=dict(output_stride=16, multi_grid=(1, 2, 4)))
tta_pipeline = [
    *_base_.steps.load,
    dict(type='openseg_plugin.MultiScaleViews', ratios=(0.75, 1.0, 1.25)),
    _base_.steps.pack_views,
]
