"""HRNet-Semantic-Segmentation, branch HRNet-OCR: its OCR and its plain network, any dataset.

A saved file is the state of a wrapper of network (``model.``) and loss (``loss.``). The "torch04"
files were trained with in-place ABN without activation: the scale differs, the ReLU does not.
"""

from collections.abc import Iterator, Mapping

from openseg_plugin.converters.checkpoints import networks
from openseg_plugin.converters.checkpoints.conversion import (
    RGB,
    Conversion,
    Source,
    backbone_options,
    head_options,
)
from openseg_plugin.converters.checkpoints.keys import (
    Array,
    Bias,
    LayerMapping,
    conv_module,
    translate,
    without_prefix,
)

NAME = 'hrnet_ocr'
OCR = 'seg_hrnet_ocr'
PLAIN = 'seg_hrnet'
# classes of the plain networks that were trained with align_corners=True: ADE20K, COCO-Stuff
PLAIN_ALIGNED_CLASSES = (150, 171)
_HEAD = 'decode_head'
_LOSS = 'loss.criterion.weight'


def _ocr_head() -> Iterator[LayerMapping]:
    yield conv_module('aux_head.0', f'{_HEAD}.region_conv', 'aux_head.1', bias=Bias.KEEP)
    yield LayerMapping('aux_head.3', f'{_HEAD}.region_seg', bias=Bias.KEEP)
    yield conv_module('conv3x3_ocr.0', f'{_HEAD}.bottleneck', 'conv3x3_ocr.1', bias=Bias.KEEP)
    yield from networks.spatial_ocr(
        'ocr_distri_head', f'{_HEAD}.object_context_block', norm='.0', bias=Bias.NONE
    )
    yield LayerMapping('cls_head', f'{_HEAD}.conv_seg', bias=Bias.KEEP)


def _plain_head() -> Iterator[LayerMapping]:
    yield conv_module('last_layer.0', f'{_HEAD}.convs.0', 'last_layer.1', bias=Bias.KEEP)
    yield LayerMapping('last_layer.3', f'{_HEAD}.conv_seg', bias=Bias.KEEP)


def _without_wrapper(weights: Mapping[str, Array]) -> tuple[dict[str, Array], dict[str, str]]:
    """The network's entries under its own names, and what else there was, with the reason."""
    weights = without_prefix(weights, 'module.')
    dropped = {name: 'class weights of the training loss' for name in weights if name == _LOSS}
    weights = {name: value for name, value in weights.items() if name not in dropped}
    return without_prefix(weights, 'model.'), dropped


def identify(weights: Mapping[str, Array]) -> str | None:
    """``seg_hrnet_ocr``, ``seg_hrnet``, or None if it is neither."""
    weights, _ = _without_wrapper(weights)
    if networks.backbone_kind(weights, '') != 'hrnet':
        return None
    heads = {name.split('.', 1)[0] for name in weights}
    if heads & {'conv3x3_ocr', 'ocr_distri_head'}:
        return OCR
    return PLAIN if 'last_layer' in heads else None


def convert(weights: Mapping[str, Array], name: str) -> Conversion:
    """Weights of the network that :func:`identify` named.

    Raises:
        CheckpointError: lists the entries that do not belong to it and those that it misses.
    """
    weights, dropped = _without_wrapper(weights)
    width = networks.hrnet_width(weights, '')
    is_inplace_abn = not any(key.endswith('.num_batches_tracked') for key in weights)
    head = _ocr_head() if name == OCR else _plain_head()
    state = translate(
        weights,
        [*networks.hrnet('', 'backbone.'), *head],
        is_inplace_abn=is_inplace_abn,
        what=f'{name} of {NAME}',
    )
    num_classes = int(state[f'{_HEAD}.conv_seg.weight'].shape[0])
    options = backbone_options(width=width)
    is_aligned = name == OCR or num_classes in PLAIN_ALIGNED_CLASSES
    if name == OCR:
        config = 'ocr/hrnet48_hrnetocr_cityscapes_484e.py'
        usual = {'channels': 512, 'key_channels': 256, 'region.channels': 720}
    else:
        config = 'fcn/hrnet48_hrnetocr_cityscapes_484e.py'
        usual = {'channels': 720}
        if is_aligned:
            options |= {f'model.{part}.align_corners': True for part in ('backbone', _HEAD)}
    return Conversion(
        state_dict=state,
        source=Source(NAME, name),
        method='ocr' if name == OCR else 'fcn',
        backbone=f'hrnet{width}',
        num_classes=num_classes,
        norm_layout='inplace_abn' if is_inplace_abn else 'batchnorm',
        config=config,
        cfg_options={**options, **head_options(state, usual)},
        preprocessing=RGB,
        align_corners=is_aligned,
        dropped=dropped,
        assumed='' if name == OCR else _assumed(is_aligned),
    )


def _assumed(is_aligned: bool) -> str:
    return (
        f'align_corners={is_aligned}, as the authors have it for this number of classes '
        f'(model.backbone.align_corners, model.{_HEAD}.align_corners)'
    )
