"""Steps that pytorch-cv adds to the pipelines of a dataset."""

pytorchcv_steps = dict(
    blur_and_pack=[
        dict(type='openseg_plugin.RandomBlur', prob=0.5, radius_range=(0.0, 1.0)),
        dict(type='openseg_plugin.PackSegInputs', meta_keys=('img_path', 'ori_shape', 'img_shape')),
    ],
    # its protocol "val"; with the crop size for size its protocol "val (crop)"
    whole=dict(type='openseg_plugin.ShortSideCenterCrop', size=None),
)
