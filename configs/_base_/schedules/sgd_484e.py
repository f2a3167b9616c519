"""SGD with poly learning rate for 484 epochs of Cityscapes, as HRNet-OCR counts."""

_base_ = ['sgd.py']

# 484 epochs of 2975 images in batches of 12, the incomplete one dropped (247 steps each)
train_cfg = dict(max_iters=484 * 247, val_interval=40 * 247)
