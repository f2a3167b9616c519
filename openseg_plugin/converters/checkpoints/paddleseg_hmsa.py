"""PaddleSeg's ``MscaleOCRNet``, OCR with hierarchical multi-scale attention: both of its forms.

That of contrib/CityscapesSOTA holds the network in ``ocrnet``; that of the main repository has
``backbone`` and ``ocr``, and its published file has polarized self-attention (PSA) in its HRNet.
In both, HRNet pads like PyTorch, unlike that of PaddleSeg's other networks, and the convolutions
within the object attention have no bias.
"""

from collections.abc import Iterator, Mapping

from openseg_plugin.converters.checkpoints import paddle_networks
from openseg_plugin.converters.checkpoints.conversion import (
    RGB,
    Conversion,
    Source,
    head_options,
)
from openseg_plugin.converters.checkpoints.keys import Array, Bias, LayerMapping, translate
from openseg_plugin.converters.checkpoints.nvidia import attention_options
from openseg_plugin.converters.checkpoints.paddle_networks import conv_bn
from openseg_plugin.converters.checkpoints.paddleseg import NAME, ocr_head, ocr_input

MULTI_SCALE = 'MscaleOCRNet'
MAIN = 'MscaleOCRNet (main repository)'
_NETWORK = 'ocrnet.'
_ATTENTION = 'scale_attn.'
# ours -> those of the main repository
_OBJECT_CONTEXT = {
    'query_project.0': 'f_pixel.conv_bn_relu_1',
    'query_project.1': 'f_pixel.conv_bn_relu_2',
    'key_project.0': 'f_object.conv_bn_relu_1',
    'key_project.1': 'f_object.conv_bn_relu_2',
    'value_project': 'f_down',
    'out_project': 'f_up',
    'bottleneck': 'conv_bn_dropout.0',
}


def _scale_attention(weights: Mapping[str, Array], conv: str, last: str) -> Iterator[LayerMapping]:
    """``conv`` and ``last`` are names of its layers, with a place for their number."""
    convs = 0
    while f'{_ATTENTION}{conv.format(convs)}._conv.weight' in weights:
        source = f'{_ATTENTION}{conv.format(convs)}'
        yield conv_bn(source, f'scale_attention.convs.{convs}')
        convs += 1
    yield LayerMapping(f'{_ATTENTION}{last.format(convs)}', 'scale_attention.conv_attention')


def _main_head() -> Iterator[LayerMapping]:
    yield from ocr_input('ocr.')
    for ours, theirs in _OBJECT_CONTEXT.items():
        target = f'decode_head.object_context_block.{ours}'
        yield conv_bn(f'ocr.ocr_distri_head.{theirs}', target)


def identify(weights: Mapping[str, Array]) -> str | None:
    """``MscaleOCRNet``, and whether that of the main repository; None if it is neither."""
    if not paddle_networks.has_paddle_names(weights):
        return None
    parts = {name.split('.', 1)[0] for name in weights}
    if {'backbone', 'ocr', 'scale_attn'} <= parts:
        return MAIN
    return MULTI_SCALE if {'ocrnet', 'scale_attn'} <= parts else None


def convert(weights: Mapping[str, Array], name: str) -> Conversion:
    """Weights of the network that :func:`identify` named.

    Raises:
        CheckpointError: lists the entries that do not belong to it and those that it misses.
    """
    is_main = name == MAIN
    prefix = 'backbone.' if is_main else f'{_NETWORK}backbone.'
    kind = paddle_networks.hrnet_kind(weights, prefix)
    units = [*paddle_networks.hrnet(prefix, 'backbone.', kind)]
    if is_main:
        units += [*_main_head(), *_scale_attention(weights, 'conv_bn_re{}', 'conv{}')]
    else:
        units += ocr_head(f'{_NETWORK}head.', inner_bias=Bias.NONE)
        units += _scale_attention(weights, 'atten_head.{}', 'atten_head.{}')
    state = translate(
        paddle_networks.as_torch_names(weights),
        units,
        is_inplace_abn=False,
        what=f'{name} of {NAME}',
    )
    usual = {'channels': 512, 'key_channels': 256, 'region.channels': 720}
    options = head_options(state, usual)
    # the losses here have no class weights
    options = {key: value for key, value in options.items() if not key.endswith('class_weight')}
    changes = kind.options()
    if is_main:
        config = 'hmsa/hrnet48psa_paddleseg_cityscapes_150k.py'
        polarized = 'model.backbone.polarized_attention'
        changes |= {polarized: False} if changes.pop(polarized, None) is None else {}
    else:
        config = 'hmsa/hrnet48_paddleseg_cityscapes_65k.py'
    return Conversion(
        state_dict=state,
        source=Source(NAME, name),
        method='hmsa',
        backbone=kind.name,
        num_classes=int(state['decode_head.conv_seg.weight'].shape[0]),
        norm_layout='batchnorm',
        config=config,
        cfg_options={
            **changes,
            **options,
            **attention_options(state),
        },
        preprocessing=RGB,
        align_corners=False,
    )
