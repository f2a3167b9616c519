"""sgd_150k at openseg's rate and weight decay for ADE20K."""

_base_ = './sgd_150k.py'

optim_wrapper = dict(optimizer=dict(lr=0.02, weight_decay=0.0001))
