"""r101_cityscapes_40k with the image order and mean that published openseg weights need."""

_base_ = './r101_cityscapes_40k.py'

# B, G, R of 0..255: the mean is taken off, nothing is divided
data_preprocessor = dict(mean=[102.9801, 115.9465, 122.7717], std=[1.0, 1.0, 1.0], bgr_to_rgb=False)
model = dict(data_preprocessor=data_preprocessor)
tta_model = dict(merge='logits')  # openseg sums raw logits
