"""A small OCR on HRNet-W18 for tools/quickstart.sh: drawn scenes, two CPU cores, a few minutes.

One exchange module per stage, one block per branch, half the width before the branches, and fewer
than a tenth of the head's channels.
"""

_base_ = [
    '../_base_/preprocessors/rgb.py',
    '../_base_/datasets/synth.py',
    '../_base_/models/ocr_hrnet18.py',
    '../_base_/schedules/adamw_quickstart.py',
    '../_base_/default_runtime.py',
]

model = dict(
    data_preprocessor=dict(**_base_.data_preprocessor, size=_base_.crop_size),
    backbone=dict(init_cfg=None, num_modules=(1, 1, 1), num_blocks=1, layer1=(1, 32)),
    decode_head=dict(**_base_.ocr_head, channels=48, key_channels=24, region=dict(channels=48, kernel_size=1)),
)
default_hooks = dict(checkpoint=dict(interval=100), logger=dict(interval=20))
