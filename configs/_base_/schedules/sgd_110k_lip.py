"""sgd_110k at openseg's rate for LIP."""

_base_ = './sgd_110k.py'

optim_wrapper = dict(optimizer=dict(lr=0.007))
