"""CamVid in its 11-class form (Brostow et al., 2009; split and classes of SegNet)."""

from openseg_plugin.datasets.base import ConvertedDataset
from openseg_plugin.registry import DATASETS


@DATASETS.register_module()
class CamVidDataset(ConvertedDataset):
    """11 classes; raw label 11 is void and ignored. ``{images,labels}/{train,val,test}``."""

    METAINFO = dict(
        classes=(
            'sky',
            'building',
            'pole',
            'road',
            'pavement',
            'tree',
            'sign',
            'fence',
            'car',
            'pedestrian',
            'bicyclist',
        ),
        palette=[
            [128, 128, 128],
            [128, 0, 0],
            [192, 192, 128],
            [128, 64, 128],
            [60, 40, 222],
            [128, 128, 0],
            [192, 128, 128],
            [64, 64, 128],
            [64, 0, 128],
            [64, 64, 0],
            [0, 128, 192],
        ],
        void_ids=(11,),
    )
    HOW_TO_GET = 'put CamVid there as images/{train,val,test} and labels/{train,val,test}'
