"""BGR images minus their mean, not divided: what openseg's ResNets for LIP saw."""

data_preprocessor = dict(
    type='openseg_plugin.SegDataPreProcessor',
    mean=[104.00698793, 116.66876762, 122.67891434],  # B, G, R of 0..255
    std=[1.0, 1.0, 1.0],
    bgr_to_rgb=False,
    pad_val=0,
    seg_pad_val=255,
)
