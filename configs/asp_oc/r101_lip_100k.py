"""ASP-OC on ResNet-101 (stride 8), LIP, 100000 iterations, batch 32.

Settings of the dataset in openseg; nothing is published for this network.
"""

_base_ = [
    '../_base_/preprocessors/rgb.py',
    '../_base_/datasets/lip.py',
    '../_base_/models/asp_oc_r101.py',
    '../_base_/schedules/sgd_100k_lip.py',
    '../_base_/default_runtime.py',
]

model = dict(data_preprocessor=dict(**_base_.data_preprocessor, size=_base_.crop_size), **_base_.heads)
