"""Parts and clothes of people: LIP, CIHP and ATR, ``<split>/{image,label,edge}``.

Left and right parts change places when an image is flipped.

Cityscapes in the converted layout: ``<split>/{image,label}``, labels are train ids.

Mapillary Vistas v1.1 / v1.2 with its own labels, ``<split>/{image,label}``.

ADE20K, the scene parsing benchmark.

COCO-Stuff: the 10k and the 164k release; their label values differ, their classes do not.

PASCAL-Context with 59 classes, or with background as the 60th; one tree serves both.

PASCAL VOC 2012 segmentation, with SBD's masks in train.

CelebAMask-HQ: parts of faces. Images have 1024 x 1024 pixels, labels 512 x 512.

CamVid in its 11-class form (Brostow et al., 2009; split and classes of SegNet).
"""

from openseg_plugin.datasets import classes
from openseg_plugin.datasets.base import ConvertedDataset, how_to_convert, metainfo
from openseg_plugin.registry import DATASETS


@DATASETS.register_module()
class CityscapesDataset(ConvertedDataset):
    """19 classes (Cordts et al., 2016). Raw trees load too: give ``data_prefix`` and suffixes."""

    METAINFO = metainfo(
        classes.CITYSCAPES_CLASSES,
        classes.CITYSCAPES_PALETTE,
        # what the release and its server call the classes: labels.py of cityscapesScripts
        label_ids=classes.CITYSCAPES_TRAIN_IDS,
    )
    HOW_TO_GET = how_to_convert('cityscapes')

    def __init__(self, *, img_suffix: str = '.png', seg_map_suffix: str = '.png', **kwargs) -> None:
        super().__init__(img_suffix=img_suffix, seg_map_suffix=seg_map_suffix, **kwargs)


_UNLABELED = classes.MAPILLARY_CLASSES.index('Unlabeled')


@DATASETS.register_module()
class MapillaryDataset(ConvertedDataset):
    """65 classes (Neuhold et al., 2017); raw label 65 (Unlabeled) is ignored."""

    METAINFO = metainfo(
        classes.MAPILLARY_CLASSES[:_UNLABELED],
        classes.MAPILLARY_PALETTE[:_UNLABELED],
        void_ids=(_UNLABELED,),
    )
    HOW_TO_GET = how_to_convert('mapillary')


@DATASETS.register_module()
class Mapillary66Dataset(ConvertedDataset):
    """66 classes: Unlabeled counts as one, as in mmseg's ``MapillaryDataset_v1``."""

    METAINFO = metainfo(classes.MAPILLARY_CLASSES, classes.MAPILLARY_PALETTE)
    HOW_TO_GET = how_to_convert('mapillary')


@DATASETS.register_module()
class ADE20KDataset(ConvertedDataset):
    """150 classes (Zhou et al., 2017); raw label 0 is ignored, k is class k - 1."""

    METAINFO = metainfo(classes.ADE20K_CLASSES, classes.ADE20K_PALETTE)
    HOW_TO_GET = how_to_convert('ade20k')
    REDUCE_ZERO_LABEL = True


@DATASETS.register_module()
class COCOStuff10kDataset(ConvertedDataset):
    """171 classes (Caesar et al., 2018); raw label 0 is ignored, k is class k - 1."""

    METAINFO = metainfo(classes.COCO_STUFF_CLASSES, classes.COCO_STUFF_PALETTE)
    HOW_TO_GET = how_to_convert('coco_stuff10k')
    REDUCE_ZERO_LABEL = True


@DATASETS.register_module()
class COCOStuff164kDataset(ConvertedDataset):
    """171 classes; labels are 0..170, and 255 is ignored."""

    METAINFO = metainfo(classes.COCO_STUFF_CLASSES, classes.COCO_STUFF_PALETTE)
    HOW_TO_GET = how_to_convert('coco_stuff164k')


@DATASETS.register_module()
class PascalContextDataset(ConvertedDataset):
    """59 classes (Mottaghi et al., 2014); raw label 0, all else in the image, is ignored."""

    METAINFO = metainfo(classes.PASCAL_CONTEXT_CLASSES, classes.PASCAL_CONTEXT_PALETTE)
    HOW_TO_GET = how_to_convert('pascal_context')
    REDUCE_ZERO_LABEL = True


@DATASETS.register_module()
class PascalContext60Dataset(ConvertedDataset):
    """60 classes: class 0 is background, all that is none of the 59."""

    METAINFO = metainfo(
        ('background', *classes.PASCAL_CONTEXT_CLASSES),
        ((120, 120, 120), *classes.PASCAL_CONTEXT_PALETTE),
    )
    HOW_TO_GET = how_to_convert('pascal_context')


@DATASETS.register_module()
class VOCDataset(ConvertedDataset):
    """20 classes and background, 255 ignored (Everingham et al., 2010)."""

    METAINFO = metainfo(classes.VOC_CLASSES, classes.VOC_PALETTE)
    HOW_TO_GET = how_to_convert('pascal_voc')


@DATASETS.register_module()
class LIPDataset(ConvertedDataset):
    """20 classes on single persons (Gong et al., 2017); reads ATR too, which is given LIP's ids."""

    METAINFO = metainfo(
        classes.LIP_CLASSES, classes.HUMAN_PARTS_PALETTE, flip_pairs=classes.HUMAN_PARTS_FLIP_PAIRS
    )
    HOW_TO_GET = how_to_convert('lip')


@DATASETS.register_module()
class CIHPDataset(ConvertedDataset):
    """20 classes on groups of persons (Gong et al., 2018)."""

    METAINFO = metainfo(
        classes.CIHP_CLASSES, classes.HUMAN_PARTS_PALETTE, flip_pairs=classes.HUMAN_PARTS_FLIP_PAIRS
    )
    HOW_TO_GET = how_to_convert('cihp')


@DATASETS.register_module()
class ATRDataset(ConvertedDataset):
    """ATR's own 18 classes (Liang et al., 2015), as ``--labels atr`` writes them."""

    METAINFO = metainfo(
        classes.ATR_CLASSES,
        classes.HUMAN_PARTS_PALETTE[: len(classes.ATR_CLASSES)],
        flip_pairs=classes.ATR_FLIP_PAIRS,
    )
    HOW_TO_GET = how_to_convert('atr', '--labels atr --val-fraction 0.0556')


@DATASETS.register_module()
class CelebAMaskDataset(ConvertedDataset):
    """18 attributes and background (Lee et al., 2020); nothing is ignored."""

    METAINFO = metainfo(
        classes.CELEBAMASK_CLASSES,
        classes.CELEBAMASK_PALETTE,
        flip_pairs=classes.CELEBAMASK_FLIP_PAIRS,
    )
    HOW_TO_GET = how_to_convert('celebamask_hq')


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
