"""RGB images from -1 to 1: what PaddleSeg's OCRNet and ISANet saw (mean and deviation 0.5)."""

data_preprocessor = dict(
    type='openseg_plugin.SegDataPreProcessor',
    mean=[127.5, 127.5, 127.5],  # of 0..255
    std=[127.5, 127.5, 127.5],
    bgr_to_rgb=True,
    pad_val=0,
    seg_pad_val=255,
)
