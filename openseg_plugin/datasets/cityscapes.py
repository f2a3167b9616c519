"""Cityscapes in the converted layout: ``<split>/{image,label}``, labels are train ids."""

from openseg_plugin.datasets.base import SegDataset
from openseg_plugin.registry import DATASETS


@DATASETS.register_module()
class CityscapesDataset(SegDataset):
    """19 classes (Cordts et al., 2016). Raw trees load too: give ``data_prefix`` and suffixes."""

    METAINFO = dict(
        classes=(
            'road',
            'sidewalk',
            'building',
            'wall',
            'fence',
            'pole',
            'traffic light',
            'traffic sign',
            'vegetation',
            'terrain',
            'sky',
            'person',
            'rider',
            'car',
            'truck',
            'bus',
            'train',
            'motorcycle',
            'bicycle',
        ),
        palette=[
            [128, 64, 128],
            [244, 35, 232],
            [70, 70, 70],
            [102, 102, 156],
            [190, 153, 153],
            [153, 153, 153],
            [250, 170, 30],
            [220, 220, 0],
            [107, 142, 35],
            [152, 251, 152],
            [70, 130, 180],
            [220, 20, 60],
            [255, 0, 0],
            [0, 0, 142],
            [0, 0, 70],
            [0, 60, 100],
            [0, 80, 100],
            [0, 0, 230],
            [119, 11, 32],
        ],
        # what the release and its server call the classes: labels.py of cityscapesScripts
        label_ids=(7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33),
    )
    HOW_TO_GET = 'convert the release with "python tools/convert_dataset.py cityscapes SRC DST"'

    def __init__(self, *, img_suffix: str = '.png', seg_map_suffix: str = '.png', **kwargs) -> None:
        super().__init__(img_suffix=img_suffix, seg_map_suffix=seg_map_suffix, **kwargs)
