"""SGD with poly learning rate, as openseg trains; the schedules beside this file set its length."""

optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='SGD', lr=0.01, momentum=0.9, weight_decay=0.0005),
    constructor='openseg_plugin.BackboneHeadConstructor',
    paramwise_cfg=dict(head_lr_mult=1.0),  # learning rate of all but the backbone, relative to lr
)
# lr * (1 - iteration / max_iters) ** 0.9, every iteration, without warm-up; ends with train_cfg.max_iters
param_scheduler = [dict(type='openseg_plugin.PolyLR', power=0.9, by_epoch=False)]
train_cfg = dict(type='openseg_plugin.IterBasedTrainLoop')
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
