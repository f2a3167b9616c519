"""SegFix on HRNet-W48 as in openseg.pytorch: boundary and direction from all maps, stride 4."""

_base_ = './hrnet48.py'
model = dict(
    type='openseg_plugin.SegFix',
    decode_head=dict(type='openseg_plugin.SegFixHead', channels=256, num_directions=8),
)
