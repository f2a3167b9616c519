"""SGD for 175 epochs of Cityscapes in batches of 8; the rate changes per epoch, with power 2."""

epochs = 175
epoch_steps = 2975 // 8  # the incomplete batch is dropped
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='SGD', lr=0.005, momentum=0.9, weight_decay=0.0001),
    constructor='openseg_plugin.BackboneHeadConstructor',
    paramwise_cfg=dict(head_lr_mult=1.0),
)
# poly2: double_from=110, from that epoch on twice the power
param_scheduler = [
    dict(type='openseg_plugin.EpochPolyLR', power=2.0, steps_per_epoch=epoch_steps, by_epoch=False)
]
train_cfg = dict(
    type='openseg_plugin.IterBasedTrainLoop',
    max_iters=epochs * epoch_steps,
    val_interval=5 * epoch_steps,
)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
