"""Images and labels of your own in two classes: background and power lines.

``$DATA_ROOT/own/{train,val}/{image,label}`` as tools/convert_dataset.py writes them from labelme,
COCO, masks or lists. Batch 8 = 2 per GPU on 4 GPUs.
"""

_base_ = '../pipelines/street_crops.py'

dataset_type = 'openseg_plugin.CustomDataset'
data_root = '{{$DATA_ROOT:data}}/own'
# In the order of the label values; convert_dataset.py writes them to dataset.json.
metainfo = dict(classes=('background', 'power line'), palette=[[0, 0, 0], [220, 20, 60]])
num_classes = len(metainfo['classes'])
crop_size = (512, 1024)  # height, width
# Rare classes count for more; the power-line fork of HRNet-OCR trains with these two.
class_weight = [0.4, 1.0]
head = dict(num_classes=num_classes, loss_decode=dict(class_weight=class_weight))
ocr_head = dict(head, loss_region=dict(class_weight=class_weight))
heads = dict(decode_head=head, auxiliary_head=head)

train_pipeline = [
    *_base_.steps.load_train,
    _base_.steps.scale,
    dict(type='openseg_plugin.RandomCrop', crop_size=crop_size, pad_mode='random'),
    _base_.steps.flip,
    _base_.steps.brightness,
    _base_.steps.pack_train,
]
tta_pipeline = [
    *_base_.steps.load,
    dict(type='openseg_plugin.MultiScaleViews', ratios=(0.5, 0.75, 1.0)),
    _base_.steps.pack_views,
]

train_dataloader = dict(
    dataset=dict(type=dataset_type, data_root=data_root, metainfo=metainfo, pipeline=train_pipeline)
)
val_dataloader = dict(dataset=dict(type=dataset_type, data_root=data_root, metainfo=metainfo))
test_dataloader = val_dataloader
