"""PaddleSeg's weights tested at five scales, 0.5, 1, 1.5, 2, 2.5; trained as at three.

Published with flipped views (--aug-test): 87.00 mIoU on Cityscapes val.
"""

_base_ = './hrnet48_paddleseg_cityscapes_65k.py'

model = dict(scales=(0.5, 1.0, 1.5, 2.0, 2.5))
