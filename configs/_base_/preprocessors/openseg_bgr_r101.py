"""BGR images minus their mean, not divided: what openseg's ResNet weights saw."""

data_preprocessor = dict(
    type='openseg_plugin.SegDataPreProcessor',
    mean=[102.9801, 115.9465, 122.7717],  # B, G, R of 0..255
    std=[1.0, 1.0, 1.0],
    bgr_to_rgb=False,
    pad_val=0,
    seg_pad_val=255,
)
