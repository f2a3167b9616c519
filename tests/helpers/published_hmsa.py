"""A narrow and shallow multi-scale OCR, and its weights as NVIDIA and PaddleSeg publish them.

Names of heads are written out here; those of the backbone come from the tables, whose depth
``published_ocr.shallow_tables`` reduces.
"""

import numpy as np
import torch
from mmengine.registry import init_default_scope
from published_ocr import SHALLOW
from random_norms import shuffle_norms

from openseg_plugin.converters.checkpoints import networks, paddle_networks
from openseg_plugin.registry import MODELS

WIDTH, CLASSES = 4, 3
_HEAD = 'decode_head'
_BLOCK = f'{_HEAD}.object_context_block'
# our convolution: NVIDIA's convolution, NVIDIA's norm, PaddleSeg's ConvBNReLU (or convolution)
_CONTEXT = {
    f'{_BLOCK}.query_project.0': ('f_pixel.0', 'f_pixel.1.0', 'f_pixel.0'),
    f'{_BLOCK}.query_project.1': ('f_pixel.2', 'f_pixel.3.0', 'f_pixel.1'),
    f'{_BLOCK}.key_project.0': ('f_object.0', 'f_object.1.0', 'f_object.0'),
    f'{_BLOCK}.key_project.1': ('f_object.2', 'f_object.3.0', 'f_object.1'),
    f'{_BLOCK}.value_project': ('f_down.0', 'f_down.1.0', 'f_down'),
    f'{_BLOCK}.out_project': ('f_up.0', 'f_up.1.0', 'f_up'),
}
_OTHERS = {
    f'{_BLOCK}.bottleneck': (
        'ocr.ocr_distri_head.conv_bn_dropout.0',
        'ocr.ocr_distri_head.conv_bn_dropout.1.0',
        'ocrnet.head.spatial_ocr.conv1x1.0',
    ),
    f'{_HEAD}.bottleneck': (
        'ocr.conv3x3_ocr.0', 'ocr.conv3x3_ocr.1.0', 'ocrnet.head.conv3x3_ocr'
    ),
    f'{_HEAD}.region_conv': ('ocr.aux_head.0', 'ocr.aux_head.1.0', 'ocrnet.head.aux_head.0'),
    f'{_HEAD}.region_seg': ('ocr.aux_head.2', '', 'ocrnet.head.aux_head.1'),
    f'{_HEAD}.conv_seg': ('ocr.cls_head', '', 'ocrnet.head.cls_head'),
    'scale_attention.convs.0': ('scale_attn.conv0', 'scale_attn.bn0', 'scale_attn.atten_head.0'),
    'scale_attention.convs.1': ('scale_attn.conv1', 'scale_attn.bn1', 'scale_attn.atten_head.1'),
    'scale_attention.conv_attention': ('scale_attn.conv2', '', 'scale_attn.atten_head.2'),
}  # fmt: skip
_PADDLE_STATISTICS = {'running_mean': '_mean', 'running_var': '_variance'}


def build(*, classes: int = CLASSES, single: bool = False, **options) -> torch.nn.Module:
    """The published network, but narrow; ``single``: one scale."""
    init_default_scope('mmseg')
    norm = {'norm_cfg': {'type': 'BN'}}
    model = {
        'type': 'openseg_plugin.HierarchicalMultiScaleSegmentor',
        'backbone': {
            'type': 'openseg_plugin.HRNet', 'width': WIDTH, 'num_modules': (1, 1, 1),
            'num_blocks': 1, 'align_corners': False, **norm,
        },
        'decode_head': {
            'type': 'openseg_plugin.OCRHead', 'in_channels': [WIDTH * 2**i for i in range(4)],
            'channels': 8, 'key_channels': 4, 'region': {'channels': 6, 'kernel_size': 1},
            'num_classes': classes, 'conv_bias': 'input', 'align_corners': False, **norm,
        },
        'scale_attention': {
            'type': 'openseg_plugin.ScaleAttentionHead', 'in_channels': 8, 'channels': 5, **norm
        },
    }  # fmt: skip
    if single:
        model['type'] = 'openseg_plugin.EncoderDecoder'
        del model['scale_attention']
    return MODELS.build({**model, **options}).eval()


def filled(**options) -> torch.nn.Module:
    """The same with random statistics in its norms."""
    return shuffle_norms(build(**options))


def nvidia_weights(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    """``state_dict`` of a file of NVIDIA's."""
    names = {}
    for unit in networks.hrnet('backbone.', ''):
        names[f'backbone.{unit.target}'] = unit.source
        names[f'backbone.{unit.target_norm}'] = unit.source_norm
    for ours, (conv, norm, _) in _heads().items():
        names |= {f'{ours}.conv': conv, f'{ours}.bn': norm} if norm else {ours: conv}
    return _renamed(model, lambda module, entry: f'module.{names[module]}.{entry}')


def paddleseg_weights(model: torch.nn.Module) -> dict[str, np.ndarray]:
    """What a file of PaddleSeg's ``MscaleOCRNet`` holds."""
    names = {}
    kind = paddle_networks.HRNetKind(WIDTH, **SHALLOW)
    for unit in paddle_networks.hrnet('ocrnet.backbone.', 'backbone.', kind):
        names |= {unit.target: unit.source, unit.target_norm: unit.source_norm}
    for ours, (_, norm, name) in _heads().items():
        pair = {f'{ours}.conv': f'{name}._conv', f'{ours}.bn': f'{name}._batch_norm'}
        names |= pair if norm else {ours: name}

    def renamed(module: str, entry: str) -> str:
        return f'{names[module]}.{_PADDLE_STATISTICS.get(entry, entry)}'

    found = _renamed(model, renamed)
    return {k: v.numpy() for k, v in found.items() if not k.endswith('num_batches_tracked')}


def _heads() -> dict[str, tuple[str, str, str]]:
    theirs = 'ocr.ocr_distri_head.object_context_block'
    paddle = 'ocrnet.head.spatial_ocr.attention_block'
    context = {
        ours: (f'{theirs}.{conv}', f'{theirs}.{norm}', f'{paddle}.{name}')
        for ours, (conv, norm, name) in _CONTEXT.items()
    }
    return context | _OTHERS


def _renamed(model: torch.nn.Module, name_of) -> dict[str, torch.Tensor]:
    return {
        name_of(*name.rsplit('.', 1)): value.clone() for name, value in model.state_dict().items()
    }
