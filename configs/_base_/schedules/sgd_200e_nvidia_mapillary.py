"""SGD for 200 epochs of Mapillary in batches of 16; the rate falls linearly, once per epoch."""

_base_ = ['sgd_175e_nvidia.py']

epochs = 200
param_scheduler = [dict(type='openseg_plugin.EpochPolyLR', power=1.0, epochs=epochs, by_epoch=False)]
train_cfg = dict(max_epochs=epochs)
