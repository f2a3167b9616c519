"""The small HRNet-W18 without context as in mmseg: fewer modules, two blocks each."""

_base_ = './fcn_hrnet18_mmseg.py'
model = dict(
    backbone=dict(
        num_modules=(1, 3, 2),
        num_blocks=2,
        init_cfg=dict(checkpoint='open-mmlab://msra/hrnetv2_w18_small'),
    )
)
