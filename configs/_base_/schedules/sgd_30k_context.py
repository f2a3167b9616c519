"""sgd_30k at openseg's rates for PASCAL-Context and COCO-Stuff: low, heads at ten times that."""

_base_ = './sgd_30k.py'

optim_wrapper = dict(optimizer=dict(lr=0.001, weight_decay=0.0001), paramwise_cfg=dict(head_lr_mult=10.0))
