"""BGR images with the statistics of R, G, B in this order: what openseg's HRNet weights saw.

openseg reads images in OpenCV's BGR order and does not swap channels before it normalizes.
"""

data_preprocessor = dict(
    type='openseg_plugin.SegDataPreProcessor',
    mean=[123.675, 116.28, 103.53],  # 255 * (0.485, 0.456, 0.406), applied to B, G, R
    std=[58.395, 57.12, 57.375],  # 255 * (0.229, 0.224, 0.225), applied to B, G, R
    bgr_to_rgb=False,
    pad_val=0,
    seg_pad_val=255,
)
