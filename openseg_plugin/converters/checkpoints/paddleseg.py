"""PaddleSeg: OCRNet on HRNet and ISANet on ResNet-vd, of one scale.

Its HRNet pads stride-2 convolutions like TensorFlow's SAME; its ISANet was trained on Cityscapes
with a resize that keeps the top left pixels on each other. Both are options of the configs named
here.
"""

from collections.abc import Iterator, Mapping

from openseg_plugin.converters.checkpoints import paddle_networks
from openseg_plugin.converters.checkpoints.conversion import (
    RGB_HALF,
    Conversion,
    Source,
    backbone_options,
    head_options,
)
from openseg_plugin.converters.checkpoints.keys import Array, Bias, LayerMapping, translate
from openseg_plugin.converters.checkpoints.paddle_networks import conv_bn

NAME = 'paddleseg'
OCR = 'ocrnet'
ISA = 'isanet'
# the file of classes 21 is that of Pascal VOC, trained with align_corners=True
ISA_ALIGNED_CLASSES = (21,)
_BACKBONE = 'backbone.'
_HEAD = 'decode_head'
_AUXILIARY = 'auxiliary_head'
_OBJECT_CONTEXT = {
    'query_project.0': 'f_pixel.0',
    'query_project.1': 'f_pixel.1',
    'key_project.0': 'f_object.0',
    'key_project.1': 'f_object.1',
    'value_project': 'f_down',
    'out_project': 'f_up',
}


def ocr_head(source: str, *, inner_bias: Bias) -> Iterator[LayerMapping]:
    """OCR head whose region and pixel convolutions have a bias.

    Args:
        source: its prefix in the file, such as ``head.``.
        inner_bias: of the convolutions behind those two.
    """
    yield conv_bn(f'{source}aux_head.0', f'{_HEAD}.region_conv', bias=Bias.KEEP)
    yield LayerMapping(f'{source}aux_head.1', f'{_HEAD}.region_seg', bias=Bias.KEEP)
    yield conv_bn(f'{source}conv3x3_ocr', f'{_HEAD}.bottleneck', bias=Bias.KEEP)
    block = f'{_HEAD}.object_context_block'
    for ours, theirs in _OBJECT_CONTEXT.items():
        attention = f'{source}spatial_ocr.attention_block'
        yield conv_bn(f'{attention}.{theirs}', f'{block}.{ours}', bias=inner_bias)
    yield conv_bn(f'{source}spatial_ocr.conv1x1.0', f'{block}.bottleneck', bias=inner_bias)
    yield LayerMapping(f'{source}cls_head', f'{_HEAD}.conv_seg', bias=Bias.KEEP)


def _isa_head() -> Iterator[LayerMapping]:
    yield conv_bn('head.in_conv', f'{_HEAD}.in_conv')
    for relation in ('global_relation', 'local_relation'):
        theirs, ours = f'head.{relation}', f'{_HEAD}.relations.0.{relation}'
        for part in ('key_project.0', 'key_project.1', 'query_project.0', 'query_project.1'):
            yield conv_bn(f'{theirs}.{part}', f'{ours}.{part}')
        yield LayerMapping(f'{theirs}.value_project', f'{ours}.value_project', bias=Bias.KEEP)
        yield conv_bn(f'{theirs}.output_project', f'{ours}.output_project')
    yield conv_bn('head.out_conv', f'{_HEAD}.out_conv')
    yield LayerMapping('head.cls.1', f'{_HEAD}.conv_seg', bias=Bias.KEEP)
    yield conv_bn('head.aux.0', f'{_AUXILIARY}.convs.0')
    yield LayerMapping('head.aux.2', f'{_AUXILIARY}.conv_seg', bias=Bias.KEEP)


def identify(weights: Mapping[str, Array]) -> str | None:
    """``ocrnet``, ``isanet``, or None if it is neither."""
    if not paddle_networks.has_paddle_names(weights):
        return None
    backbone = paddle_networks.backbone_kind(weights, _BACKBONE)
    parts = {name.split('.', 2)[1] for name in weights if name.startswith('head.')}
    if backbone == 'hrnet' and parts & {'conv3x3_ocr', 'spatial_ocr'}:
        return OCR
    if backbone == 'resnet' and parts & {'global_relation', 'local_relation'}:
        return ISA
    return None


def convert(weights: Mapping[str, Array], name: str) -> Conversion:
    """Weights of the network that :func:`identify` named.

    Raises:
        CheckpointError: lists the entries that do not belong to it and those that it misses.
    """
    return _convert_ocr(weights) if name == OCR else _convert_isa(weights)


def _convert_ocr(weights: Mapping[str, Array]) -> Conversion:
    width, small = paddle_networks.hrnet_size(weights, _BACKBONE)
    backbone = f'hrnet{width}{"s" if small else ""}'
    backbone_units = paddle_networks.hrnet(_BACKBONE, _BACKBONE, small=small)
    state = _translate(
        weights, [*backbone_units, *ocr_head('head.', inner_bias=Bias.KEEP)], OCR, backbone
    )
    is_known = backbone in ('hrnet18', 'hrnet48')
    usual = {'channels': 512, 'key_channels': 256, 'region.kernel_size': 1}
    usual['region.channels'] = 15 * (width if is_known else 48)
    options = {} if is_known else backbone_options(width=width, small=small)
    base = backbone if is_known else 'hrnet48'
    return Conversion(
        state_dict=state,
        source=Source(NAME, OCR),
        method='ocr',
        backbone=backbone,
        num_classes=_classes(state),
        norm_layout='batchnorm',
        config=f'ocr/{base}_paddleseg_cityscapes_160k.py',
        cfg_options={**options, **head_options(state, usual)},
        preprocessing=RGB_HALF,
        align_corners=False,
    )


def _convert_isa(weights: Mapping[str, Array]) -> Conversion:
    depth = paddle_networks.resnet_depth(weights, _BACKBONE)
    backbone_units = paddle_networks.resnet_vd(_BACKBONE, _BACKBONE, depth=depth)
    state = _translate(weights, [*backbone_units, *_isa_head()], ISA, f'resnet{depth}vd')
    options = head_options(state, {'channels': 512})
    is_aligned = _classes(state) in ISA_ALIGNED_CLASSES
    if options:
        classes = {f'model.{_AUXILIARY}.num_classes': _classes(state)}
        options |= classes if f'model.{_HEAD}.num_classes' in options else {}
    if is_aligned:
        options |= {f'model.{part}.align_corners': True for part in (_HEAD, _AUXILIARY)}
    return Conversion(
        state_dict=state,
        source=Source(NAME, ISA),
        method='isa',
        backbone=f'resnet{depth}vd',
        num_classes=_classes(state),
        norm_layout='batchnorm',
        config=f'isa/r{depth}vd_paddleseg_cityscapes_80k.py',
        cfg_options=options,
        preprocessing=RGB_HALF,
        align_corners=True if is_aligned else 'top_left',
        assumed=(
            f'windows of 8x8 (model.{_HEAD}.windows); align_corners='
            f'{"True, as for VOC" if is_aligned else "top_left, as for Cityscapes"}'
        ),
    )


def _translate(
    weights: Mapping[str, Array], units: list[LayerMapping], name: str, backbone: str
) -> dict[str, Array]:
    return translate(
        paddle_networks.as_torch_names(weights),
        units,
        is_inplace_abn=False,
        what=f'{name} on {backbone} of {NAME}',
    )


def _classes(state: Mapping[str, Array]) -> int:
    return int(state[f'{_HEAD}.conv_seg.weight'].shape[0])
