"""SGD as pytorch-cv trains on Cityscapes: 120 epochs of 64 images per step, 8 GPUs."""

_base_ = ['sgd_50e_pytorchcv.py']

base_lr = 1e-2  # for 8 images per step
epoch = 2975 // 64  # steps; the incomplete batch is dropped

optim_wrapper = dict(optimizer=dict(lr=base_lr * 64 / 8))
train_cfg = dict(max_iters=120 * epoch, val_interval=10 * epoch)
