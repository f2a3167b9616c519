"""SGD with poly learning rate of power 2 for 65000 iterations, as PaddleSeg's CityscapesSOTA trains."""

_base_ = ['sgd.py']

optim_wrapper = dict(optimizer=dict(lr=0.005, weight_decay=0.0001))
param_scheduler = [dict(type='openseg_plugin.PolyLR', power=2.0, by_epoch=False)]
train_cfg = dict(max_iters=65000, val_interval=5000)
