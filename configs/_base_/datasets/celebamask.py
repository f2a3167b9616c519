"""CelebAMask-HQ: 18 parts of faces, train 24183, val 2993, test 2824 images.

``$DATA_ROOT/celebamask_hq/{train,val,test}/{image,label}``. Images have 1024x1024 pixels and
labels 512x512; images are made as small as the labels before anything else, and results are
compared at this size. Batch 16 = 4 per GPU on 4 GPUs.
"""

_base_ = './lip.py'

dataset_type = 'openseg_plugin.CelebAMaskDataset'
data_root = '{{$DATA_ROOT:data}}/celebamask_hq'
num_classes = 19
crop_size = (512, 512)  # height, width; also the size of the labels
head = dict(num_classes=num_classes, loss_decode=dict(class_weight=_base_.class_weight))
ocr_head = dict(head, loss_region=dict(class_weight=_base_.class_weight))
heads = dict(decode_head=head, auxiliary_head=head)

shrink = dict(type='openseg_plugin.ResizeTo', size=crop_size, as_original=True)
train_pipeline = [
    dict(type='openseg_plugin.SeedSample'),
    dict(type='LoadImageFromFile'),
    shrink,
    dict(type='openseg_plugin.LoadLabels'),
    _base_.steps.flip,
    dict(type='openseg_plugin.RandomResize', scale_range=(0.5, 1.5), aspect_range=(0.9, 1.1)),
    dict(type='openseg_plugin.RandomCrop', crop_size=crop_size, pad_mode='random'),
    _base_.steps.brightness,
    _base_.steps.pack_train,
]
load_resized = [
    dict(type='LoadImageFromFile'),
    shrink,
    dict(type='openseg_plugin.LoadLabels'),
]
test_pipeline = [*load_resized, _base_.steps.pack]
tta_pipeline = [*load_resized, *_base_.tta_pipeline[3:]]

train_dataloader = dict(
    batch_size=4,
    dataset=dict(type=dataset_type, data_root=data_root, pipeline=train_pipeline),
)
val_dataloader = dict(dataset=dict(type=dataset_type, data_root=data_root, pipeline=test_pipeline))
test_dataloader = dict(
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        data_prefix=dict(img_path='test/image', seg_map_path='test/label'),
        pipeline=test_pipeline,
    )
)
