"""SGD as pytorch-cv trains on Cityscapes: 120 epochs of 64 images per iteration, 8 GPUs."""

_base_ = ['sgd_50e_pytorchcv.py']

base_lr = 1e-2  # for 8 images per iteration

optim_wrapper = dict(optimizer=dict(lr=base_lr * 64 / 8))
train_cfg = dict(max_epochs=120, val_interval=10)
