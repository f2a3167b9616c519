"""SGD with poly learning rate for 50000 iterations."""

_base_ = ['sgd.py']

train_cfg = dict(max_iters=50000, val_interval=5000)
