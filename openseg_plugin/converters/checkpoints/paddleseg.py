"""PaddleSeg's networks of one scale: OCRNet, FCN, ISANet, PSPNet, DeepLabV3, DANet, CCNet.

OCRNet and FCN stand on HRNet, which pads stride-2 convolutions like TensorFlow's SAME; all but FCN
on ResNet-vd. Its ISANet (on Cityscapes) and DANet were trained with a resize that keeps the top
left pixels on each other. Both are options of the configs named here.

Convolutions of the heads have a bias in front of their norms. OCR keeps it; in the others it is
folded into the running mean, which changes no output.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from openseg_plugin.converters.checkpoints import paddle_networks
from openseg_plugin.converters.checkpoints.conversion import (
    CITYSCAPES_CLASSES,
    RGB_HALF,
    Conversion,
    Source,
    head_options,
)
from openseg_plugin.converters.checkpoints.keys import Array, Bias, Entry, LayerMapping, translate
from openseg_plugin.converters.checkpoints.paddle_networks import conv_bn
from openseg_plugin.errors import CheckpointError

NAME = 'paddleseg'
OCR = 'ocrnet'
ISA = 'isanet'
FCN = 'fcn'
UNKNOWN = 'network'
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
_ATTENTION = {'query': 'query_project', 'key': 'key_project', 'value': 'value_project'}
Units = Iterator[LayerMapping | Entry]


def ocr_head(source: str, *, inner_bias: Bias) -> Iterator[LayerMapping]:
    """OCR head whose region and pixel convolutions have a bias.

    Args:
        source: its prefix in the file, such as ``head.``.
        inner_bias: of the convolutions behind those two.
    """
    yield from ocr_input(source)
    block = f'{_HEAD}.object_context_block'
    for ours, theirs in _OBJECT_CONTEXT.items():
        attention = f'{source}spatial_ocr.attention_block'
        yield conv_bn(f'{attention}.{theirs}', f'{block}.{ours}', bias=inner_bias)
    yield conv_bn(f'{source}spatial_ocr.conv1x1.0', f'{block}.bottleneck', bias=inner_bias)


def ocr_input(source: str) -> Iterator[LayerMapping]:
    """What both of its OCR heads call alike: all but the object attention."""
    yield conv_bn(f'{source}aux_head.0', f'{_HEAD}.region_conv', bias=Bias.KEEP)
    yield LayerMapping(f'{source}aux_head.1', f'{_HEAD}.region_seg', bias=Bias.KEEP)
    yield conv_bn(f'{source}conv3x3_ocr', f'{_HEAD}.bottleneck', bias=Bias.KEEP)
    yield LayerMapping(f'{source}cls_head', f'{_HEAD}.conv_seg', bias=Bias.KEEP)


def _fcn_head() -> Units:
    yield conv_bn('head.conv_1', f'{_HEAD}.convs.0', bias=Bias.FOLD)
    yield _plain('head.cls', f'{_HEAD}.conv_seg')


def _isa_head() -> Units:
    yield conv_bn('head.in_conv', f'{_HEAD}.in_conv')
    for relation in ('global_relation', 'local_relation'):
        theirs, ours = f'head.{relation}', f'{_HEAD}.relations.0.{relation}'
        for part in ('key_project.0', 'key_project.1', 'query_project.0', 'query_project.1'):
            yield conv_bn(f'{theirs}.{part}', f'{ours}.{part}')
        yield _plain(f'{theirs}.value_project', f'{ours}.value_project')
        yield conv_bn(f'{theirs}.output_project', f'{ours}.output_project')
    yield conv_bn('head.out_conv', f'{_HEAD}.out_conv')
    yield _plain('head.cls.1', f'{_HEAD}.conv_seg')
    yield conv_bn('head.aux.0', f'{_AUXILIARY}.convs.0')
    yield _plain('head.aux.2', f'{_AUXILIARY}.conv_seg')


def _psp_head() -> Units:
    for pool in range(4):  # joined in the order 6, 3, 2, 1, which is that of our config
        theirs = f'head.psp_module.stages.{3 - pool}.1'
        yield conv_bn(theirs, f'{_HEAD}.psp_modules.{pool}.1', bias=Bias.FOLD)
    theirs = 'head.psp_module.conv_bn_relu2'
    yield conv_bn(theirs, f'{_HEAD}.bottleneck', bias=Bias.FOLD)
    yield _plain('head.conv', f'{_HEAD}.conv_seg')
    yield from _auxiliary('head.auxlayer')


def _deeplabv3_head() -> Units:
    yield conv_bn('head.aspp.global_avg_pool.1', f'{_HEAD}.image_pool.1')
    for branch in range(4):
        theirs = f'head.aspp.aspp_blocks.{branch}'
        yield conv_bn(theirs, f'{_HEAD}.aspp_modules.{branch}', bias=Bias.FOLD)
    yield conv_bn('head.aspp.conv_bn_relu', f'{_HEAD}.bottleneck', bias=Bias.FOLD)
    yield _plain('head.cls', f'{_HEAD}.conv_seg')


def _danet_head() -> Units:
    for ours, before, behind in (
        ('pam', 'position_conv', 'conv2'),
        ('cam', 'channel_conv', 'conv1'),
    ):
        yield conv_bn(f'head.{before}', f'{_HEAD}.{ours}_in_conv', bias=Bias.FOLD)
        yield conv_bn(f'head.{behind}', f'{_HEAD}.{ours}_out_conv', bias=Bias.FOLD)
        yield Entry(f'head.{ours}.gamma', f'{_HEAD}.{ours}.gamma.scale')
        yield _plain(f'head.aux_head_{ours}.1', f'{_HEAD}.{ours}_conv_seg')
    for theirs, part in _ATTENTION.items():
        yield _plain(f'head.pam.{theirs}_conv', f'{_HEAD}.pam.{part}')
    yield _plain('head.cls_head.1', f'{_HEAD}.conv_seg')
    yield _plain('head.aux_head.1', f'{_AUXILIARY}.conv_seg')


def _ccnet_head() -> Units:
    yield conv_bn('head.conva', f'{_HEAD}.convs.0')
    yield conv_bn('head.convb', f'{_HEAD}.convs.1')
    for theirs, ours in (('q', 'query'), ('k', 'key'), ('v', 'value')):
        yield _plain(f'head.cca.{theirs}_conv', f'{_HEAD}.cca.{ours}_conv')
    yield Entry('head.cca.gamma', f'{_HEAD}.cca.gamma.scale')
    yield conv_bn('head.out.conv_bn_relu', f'{_HEAD}.conv_cat', bias=Bias.FOLD)
    yield _plain('head.out.conv', f'{_HEAD}.conv_seg')
    yield from _auxiliary('aux_head')


def _auxiliary(source: str) -> Units:
    yield conv_bn(f'{source}.conv_bn_relu', f'{_AUXILIARY}.convs.0', bias=Bias.FOLD)
    yield _plain(f'{source}.conv', f'{_AUXILIARY}.conv_seg')


def _plain(source: str, target: str) -> LayerMapping:
    return LayerMapping(source, target, bias=Bias.KEEP)


@dataclass(frozen=True)
class _Network:
    """A network on ResNet-vd.

    Attributes:
        method: folder of its configs.
        parts: names below ``head.``, of which a file has one at least and no other network any.
        iterations: of its recipe, in thousands: the end of its configs' names.
        depths: of which there are configs.
        usual: sizes of its config's head, as :func:`.conversion.head_options` takes them.
        auxiliary: how its auxiliary head's entries start; empty: it has none.
        align_corners: convention of its resizes.
        is_leaky: whether its head has leaky ReLU.
    """

    method: str
    parts: frozenset[str]
    iterations: int
    depths: tuple[int, ...] = (50, 101)
    usual: Mapping[str, int] = field(default_factory=dict)
    auxiliary: str = ''
    align_corners: bool | str = False
    is_leaky: bool = False


_ON_RESNET = {
    ISA: _Network(
        'isa', frozenset({'global_relation', 'local_relation'}), 80, usual={'channels': 512},
        auxiliary='head.aux.', align_corners='top_left',
    ),
    'pspnet': _Network(
        'pspnet', frozenset({'psp_module'}), 80, usual={'channels': 1024},
        auxiliary='head.auxlayer.',
    ),
    'deeplabv3': _Network('deeplabv3', frozenset({'aspp'}), 80, usual={'channels': 256}),
    'danet': _Network(
        'danet', frozenset({'pam', 'cam'}), 80, (50,), {'channels': 512},
        auxiliary='head.aux_head.', align_corners='top_left',
    ),
    'ccnet': _Network(
        'ccnet', frozenset({'cca'}), 60, (101,), {'channels': 512}, auxiliary='aux_head.',
        is_leaky=True,
    ),
    OCR: _Network(
        'ocr', frozenset({'conv3x3_ocr', 'spatial_ocr'}), 160, (101,),
        {'channels': 512, 'key_channels': 256, 'region.kernel_size': 1, 'region.channels': 1024},
    ),
}  # fmt: skip
_HEADS = {
    ISA: _isa_head,
    'pspnet': _psp_head,
    'deeplabv3': _deeplabv3_head,
    'danet': _danet_head,
    'ccnet': _ccnet_head,
}


def identify(weights: Mapping[str, Array]) -> str | None:
    """PaddleSeg's name of the network; ``network``: of one without a head here; None: not its."""
    if not paddle_networks.has_paddle_names(weights):
        return None
    backbone = paddle_networks.backbone_kind(weights, _BACKBONE)
    parts = _head_parts(weights)
    if backbone is None or not parts:
        return None
    if backbone == 'hrnet':
        if parts & _ON_RESNET[OCR].parts:
            return OCR
        return FCN if parts == {'conv_1', 'cls'} else UNKNOWN
    if 'decoder' in parts:  # DeepLabV3P has DeepLabV3's modules too
        return UNKNOWN
    found = [name for name, network in _ON_RESNET.items() if parts & network.parts]
    return found[0] if found else UNKNOWN


def convert(weights: Mapping[str, Array], name: str) -> Conversion:
    """Weights of the network that :func:`identify` named.

    Raises:
        CheckpointError: lists the entries that do not belong to it and those that it misses, or
            says that this network has no counterpart.
    """
    backbone = paddle_networks.backbone_kind(weights, _BACKBONE)
    is_shallow = backbone == 'resnet' and not any(
        key.startswith(f'{_BACKBONE}bb_3_0.conv2.') for key in weights
    )
    if name == UNKNOWN or is_shallow:
        raise CheckpointError(
            f'this is a network of {NAME} on {"ResNet-18 or -34" if is_shallow else backbone} with '
            f'{", ".join(sorted(_head_parts(weights)))} in its head, which has no counterpart '
            'here: known are OCRNet and FCN on HRNet, and OCRNet, ISANet, PSPNet, DeepLabV3, DANet '
            'and CCNet on ResNet-50-vd and -101-vd'
        )
    return _on_hrnet(weights, name) if backbone == 'hrnet' else _on_resnet(weights, name)


def _head_parts(weights: Mapping[str, Array]) -> set[str]:
    return {name.split('.', 2)[1] for name in weights if name.startswith('head.')}


def _on_hrnet(weights: Mapping[str, Array], name: str) -> Conversion:
    kind = paddle_networks.hrnet_kind(weights, _BACKBONE)
    head = ocr_head('head.', inner_bias=Bias.KEEP) if name == OCR else _fcn_head()
    units = [*paddle_networks.hrnet(_BACKBONE, _BACKBONE, kind), *head]
    state = _translate(weights, units, name, kind.name)
    is_known = kind.name in ('hrnet18', 'hrnet48')
    joined = 15 * (kind.width if is_known else 48)
    if name == OCR:
        usual = {'channels': 512, 'key_channels': 256, 'region.kernel_size': 1}
        usual['region.channels'] = joined
    else:
        usual = {'channels': joined, 'kernel_size': 1}
    method, length = ('ocr', 160) if name == OCR else ('fcn', 80)
    base = kind.name if is_known else 'hrnet48'
    return Conversion(
        state_dict=state,
        source=Source(NAME, name),
        method=method,
        backbone=kind.name,
        num_classes=_classes(state),
        norm_layout='batchnorm',
        config=f'{method}/{base}_paddleseg_cityscapes_{length}k.py',
        cfg_options={**({} if is_known else kind.options()), **head_options(state, usual)},
        preprocessing=RGB_HALF,
        align_corners=False,
    )


def _on_resnet(weights: Mapping[str, Array], name: str) -> Conversion:
    network = _ON_RESNET[name]
    depth = paddle_networks.resnet_depth(weights, _BACKBONE)
    head = ocr_head('head.', inner_bias=Bias.KEEP) if name == OCR else _HEADS[name]()
    has_auxiliary = any(key.startswith(network.auxiliary) for key in weights)
    if not has_auxiliary:  # enable_auxiliary_loss: False
        head = (unit for unit in head if not unit.target.startswith(_AUXILIARY))
    units = [*paddle_networks.resnet_vd(_BACKBONE, _BACKBONE, depth=depth), *head]
    state = _translate(weights, units, name, f'resnet{depth}vd')
    if name == 'deeplabv3':
        _put_image_first(state)
    for key in [key for key in state if key.endswith('gamma.scale')]:
        state[key] = state[key].reshape(())  # one number; in the file an array of one
    aligned: bool | str = network.align_corners
    if name == ISA and _classes(state) in ISA_ALIGNED_CLASSES:
        aligned = True
    options = _resnet_options(state, network, depth, has_auxiliary=has_auxiliary)
    if aligned != network.align_corners:
        options |= {f'model.{part}.align_corners': aligned for part in (_HEAD, _AUXILIARY)}
    config = depth if depth in network.depths else network.depths[0]
    return Conversion(
        state_dict=state,
        source=Source(NAME, name),
        method=network.method,
        backbone=f'resnet{depth}vd',
        num_classes=_classes(state),
        norm_layout='batchnorm',
        config=f'{network.method}/r{config}vd_paddleseg_cityscapes_{network.iterations}k.py',
        cfg_options=options,
        preprocessing=RGB_HALF,
        align_corners=aligned,
        has_leaky_head=network.is_leaky,
        assumed=_assumed(name, aligned),
    )


def _resnet_options(
    state: Mapping[str, Array], network: _Network, depth: int, *, has_auxiliary: bool
) -> dict[str, Any]:
    options = head_options(state, network.usual)
    if network.auxiliary and not has_auxiliary:
        options[f'model.{_AUXILIARY}'] = None
    elif network.auxiliary and _classes(state) != CITYSCAPES_CLASSES:
        options[f'model.{_AUXILIARY}.num_classes'] = _classes(state)
    if depth not in network.depths:
        options['model.backbone.depth'] = depth
    return options


def _put_image_first(state: dict[str, Array]) -> None:
    """Paddle joins the mean of the image behind the branches, our head before them."""
    name = f'{_HEAD}.bottleneck.conv.weight'
    value = state[name]
    width = value.shape[1] * 4 // 5
    if isinstance(value, torch.Tensor):
        state[name] = torch.cat([value[:, width:], value[:, :width]], dim=1)
    else:
        state[name] = np.concatenate([value[:, width:], value[:, :width]], axis=1)


def _assumed(name: str, aligned: bool | str) -> str:
    """What the weights of a network on ResNet-vd do not tell."""
    if name == ISA:
        return (
            f'windows of 8x8 (model.{_HEAD}.windows); align_corners='
            f'{"True, as for VOC" if aligned is True else "top_left, as for Cityscapes"}'
        )
    return {
        'deeplabv3': 'dilations 1, 12, 24, 36 and multi_grid (1, 2, 4), as published',
        'ccnet': f'two passes of the attention (model.{_HEAD}.recurrence), as published',
    }.get(name, '')


def _translate(
    weights: Mapping[str, Array], units: list[LayerMapping | Entry], name: str, backbone: str
) -> dict[str, Array]:
    return translate(
        paddle_networks.as_torch_names(weights),
        units,
        is_inplace_abn=False,
        what=f'{name} on {backbone} of {NAME}',
    )


def _classes(state: Mapping[str, Array]) -> int:
    return int(state[f'{_HEAD}.conv_seg.weight'].shape[0])
