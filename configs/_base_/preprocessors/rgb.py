"""RGB images, ImageNet statistics: for training, and for HRNet-OCR's and mmseg's weights."""

data_preprocessor = dict(
    type='openseg_plugin.SegDataPreProcessor',
    mean=[123.675, 116.28, 103.53],  # R, G, B of 0..255
    std=[58.395, 57.12, 57.375],
    bgr_to_rgb=True,
    pad_val=0,
    seg_pad_val=255,
)
