"""Cityscapes fine: train 2975, val 500 images of 1024x2048, 19 classes.

``$DATA_ROOT/cityscapes/{train,val}/{image,label}`` as tools/convert_dataset.py writes them.
Batch 8 = 2 per GPU on 4 GPUs.
"""

_base_ = '../pipelines/street_crops.py'

dataset_type = 'openseg_plugin.CityscapesDataset'
data_root = '{{$DATA_ROOT:data}}/cityscapes'
num_classes = 19
# One per class in the order of the train ids.
class_weight = [
    *(0.8373, 0.9180, 0.8660, 1.0345, 1.0166, 0.9969, 0.9754, 1.0489, 0.8786, 1.0023),
    *(0.9539, 0.9843, 1.1116, 0.9037, 1.0865, 1.0955, 1.0865, 1.1529, 1.0507),
]
head = dict(num_classes=num_classes, loss_decode=dict(class_weight=class_weight))
ocr_head = dict(head, loss_region=dict(class_weight=class_weight))
heads = dict(decode_head=head, auxiliary_head=head)

train_dataloader = dict(dataset=dict(type=dataset_type, data_root=data_root))
val_dataloader = dict(dataset=dict(type=dataset_type, data_root=data_root))
test_dataloader = val_dataloader
