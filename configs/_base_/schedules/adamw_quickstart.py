"""AdamW for 300 steps: what tools/quickstart.sh trains on drawn scenes."""

_base_ = './sgd.py'

iterations = 300
optim_wrapper = dict(
    _delete_=True,
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=0.002, weight_decay=0.01),
)
train_cfg = dict(max_iters=iterations, val_interval=iterations // 2)
