"""hrnet48_cityscapes_80k at twice the rate and batch for half the iterations: lr 0.02, batch 16.

openseg's branch for PyTorch 1.7 trains so, 8 GPUs with 2 images each; nothing is published for
these ImageNet weights.
"""

_base_ = './hrnet48_ssld_cityscapes_40k.py'
model = dict(backbone=dict(init_cfg=dict(checkpoint='open-mmlab://msra/hrnetv2_w48')))
