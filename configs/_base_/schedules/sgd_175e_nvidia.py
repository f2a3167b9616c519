"""SGD for 175 epochs of Cityscapes in batches of 8; the rate changes per epoch, with power 2."""

epochs = 175
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='SGD', lr=0.005, momentum=0.9, weight_decay=0.0001),
    constructor='openseg_plugin.BackboneHeadConstructor',
    paramwise_cfg=dict(head_lr_mult=1.0),
)
# poly2: double_from=110, from that epoch on twice the power
param_scheduler = [dict(type='openseg_plugin.EpochPolyLR', power=2.0, epochs=epochs, by_epoch=False)]
train_cfg = dict(
    type='openseg_plugin.IterBasedTrainLoop',
    max_epochs=epochs,
    val_interval=5,
)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
