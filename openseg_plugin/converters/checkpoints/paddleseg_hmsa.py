"""PaddleSeg's CityscapesSOTA: ``MscaleOCRNet``, OCR with hierarchical multi-scale attention.

Its HRNet pads like PyTorch, unlike that of PaddleSeg's other networks; the convolutions within the
object attention have no bias.
"""

from collections.abc import Iterator, Mapping

from openseg_plugin.converters.checkpoints import paddle_networks
from openseg_plugin.converters.checkpoints.conversion import (
    RGB,
    Conversion,
    Source,
    backbone_options,
    head_options,
)
from openseg_plugin.converters.checkpoints.keys import Array, Bias, LayerMapping, translate
from openseg_plugin.converters.checkpoints.nvidia import attention_options
from openseg_plugin.converters.checkpoints.paddle_networks import conv_bn
from openseg_plugin.converters.checkpoints.paddleseg import NAME, ocr_head

MULTI_SCALE = 'MscaleOCRNet'
_NETWORK = 'ocrnet.'
_ATTENTION = 'scale_attn.atten_head'


def _scale_attention(weights: Mapping[str, Array]) -> Iterator[LayerMapping]:
    convs = 0
    while f'{_ATTENTION}.{convs}._conv.weight' in weights:
        yield conv_bn(f'{_ATTENTION}.{convs}', f'scale_attention.convs.{convs}')
        convs += 1
    yield LayerMapping(f'{_ATTENTION}.{convs}', 'scale_attention.conv_attention')


def identify(weights: Mapping[str, Array]) -> str | None:
    """``MscaleOCRNet``, or None if it is not."""
    if not paddle_networks.has_paddle_names(weights):
        return None
    parts = {name.split('.', 1)[0] for name in weights}
    return MULTI_SCALE if {'ocrnet', 'scale_attn'} <= parts else None


def convert(weights: Mapping[str, Array], name: str) -> Conversion:
    """Weights of the network that :func:`identify` named.

    Raises:
        CheckpointError: lists the entries that do not belong to it and those that it misses.
    """
    width, small = paddle_networks.hrnet_size(weights, f'{_NETWORK}backbone.')
    state = translate(
        paddle_networks.as_torch_names(weights),
        [
            *paddle_networks.hrnet(f'{_NETWORK}backbone.', 'backbone.', small=small),
            *ocr_head(f'{_NETWORK}head.', inner_bias=Bias.NONE),
            *_scale_attention(weights),
        ],
        is_inplace_abn=False,
        what=f'{name} of {NAME}',
    )
    usual = {'channels': 512, 'key_channels': 256, 'region.channels': 720}
    options = head_options(state, usual)
    # the losses here have no class weights
    options = {key: value for key, value in options.items() if not key.endswith('class_weight')}
    return Conversion(
        state_dict=state,
        source=Source(NAME, name),
        method='hmsa',
        backbone=f'hrnet{width}',
        num_classes=int(state['decode_head.conv_seg.weight'].shape[0]),
        norm_layout='batchnorm',
        config='hmsa/hrnet48_paddleseg_cityscapes_65k.py',
        cfg_options={
            **backbone_options(width=width, small=small),
            **options,
            **attention_options(state),
        },
        preprocessing=RGB,
        align_corners=False,
    )
