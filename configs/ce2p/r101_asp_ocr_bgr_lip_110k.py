"""r101_asp_ocr_lip_110k with the image order and mean that published openseg weights need."""

_base_ = './r101_asp_ocr_lip_110k.py'

# B, G, R of 0..255: the mean is taken off, nothing is divided
data_preprocessor = dict(mean=[104.00698793, 116.66876762, 122.67891434], std=[1.0, 1.0, 1.0], bgr_to_rgb=False)
model = dict(data_preprocessor=data_preprocessor)
tta_model = dict(merge='logits')  # openseg sums raw logits
