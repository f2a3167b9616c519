"""SGD with poly learning rate for 484 epochs of Cityscapes, as HRNet-OCR counts."""

_base_ = ['sgd.py']

train_cfg = dict(max_epochs=484, val_interval=40)
