"""Steps that SegFix adds to the pipelines of a dataset: boundaries and directions as targets."""

segfix_targets = dict(type='openseg_plugin.SegFixTargets', num_directions=8, max_distance=5)
segfix_steps = dict(
    pack_train=dict(
        type='openseg_plugin.PackSegFixInputs',
        meta_keys=('img_path', 'ori_shape', 'img_shape'),
    ),
    pack=dict(type='openseg_plugin.PackSegFixInputs'),
)
