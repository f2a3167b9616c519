"""NVIDIA/semantic-segmentation: OCR at one and multiple scales, DeepLabV3+ on WideResNet-38.

Files hold ``state_dict`` with the prefix ``module.``; a norm and its ReLU are one Sequential, hence
the ``.0`` behind the norm's name.
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
from openseg_plugin.converters.checkpoints.paddle_networks import has_paddle_names
from openseg_plugin.errors import CheckpointError

NAME = 'nvidia'
OCR = 'ocrnet.HRNet'
MULTI_SCALE = 'ocrnet.HRNet_Mscale'
DEEPLAB = 'deepv3.DeepV3PlusW38'
CONFIGS = {
    OCR: 'hmsa/hrnet48_single_cityscapes_175e.py',
    MULTI_SCALE: 'hmsa/hrnet48_cityscapes_175e.py',
    DEEPLAB: 'hmsa/wrn38_cityscapes_175e.py',
}
# networks of the same repository of which it publishes no file: attention between scales on other
# heads, DeepLabV3+ on other backbones
OTHER = 'another network'
_HEAD = 'decode_head'
_ATTENTION = 'scale_attn'
# convolutions and norms of the attention head, named and (``--mscale_old_arch``) numbered
_ATTENTION_NAMES = (('conv0', 'bn0'), ('conv1', 'bn1'), ('conv2', ''))
_ATTENTION_NUMBERS = (('0', '1'), ('3', '4'), ('6', ''))
_WIDE_BLOCKS = (3, 3, 6, 3, 1, 1)


def _ocr_head(root: str) -> Iterator[LayerMapping]:
    yield conv_module(
        f'{root}aux_head.0', f'{_HEAD}.region_conv', f'{root}aux_head.1.0', bias=Bias.KEEP
    )
    yield LayerMapping(f'{root}aux_head.2', f'{_HEAD}.region_seg', bias=Bias.KEEP)
    yield conv_module(
        f'{root}conv3x3_ocr.0', f'{_HEAD}.bottleneck', f'{root}conv3x3_ocr.1.0', bias=Bias.KEEP
    )
    yield from networks.spatial_ocr(
        f'{root}ocr_distri_head', f'{_HEAD}.object_context_block', norm='.0', bias=Bias.NONE
    )
    yield LayerMapping(f'{root}cls_head', f'{_HEAD}.conv_seg', bias=Bias.KEEP)


def _scale_attention(weights: Mapping[str, Array]) -> Iterator[LayerMapping]:
    is_named = f'{_ATTENTION}.conv0.weight' in weights
    layers: tuple[tuple[str, str], ...] = _ATTENTION_NAMES if is_named else _ATTENTION_NUMBERS
    if not _has_two_convs(weights):  # --mscale_no3x3
        layers = (layers[0], layers[2] if is_named else ('3', ''))
    for index, (conv, norm) in enumerate(layers[:-1]):
        yield conv_module(
            f'{_ATTENTION}.{conv}', f'scale_attention.convs.{index}', f'{_ATTENTION}.{norm}'
        )
    yield LayerMapping(f'{_ATTENTION}.{layers[-1][0]}', 'scale_attention.conv_attention')


def _has_two_convs(weights: Mapping[str, Array]) -> bool:
    return any(f'{_ATTENTION}.{last}.weight' in weights for last in ('conv1', '6'))


def _wide_resnet(source: str, target: str) -> Iterator[LayerMapping]:
    """WideResNet-38; ``source`` and ``target`` are prefixes that end with a dot or are empty."""
    yield LayerMapping(f'{source}mod1.conv1', f'{target}stem')
    for group, count in enumerate(_WIDE_BLOCKS):
        convs = 2 if group < 4 else 3
        for block in range(count):
            theirs = f'{source}mod{group + 2}.block{block + 1}'
            ours = f'{target}groups.{group}.{block}'
            for index in range(convs):
                norm = f'{theirs}.convs.bn{index + 1}.0' if index else f'{theirs}.bn1.0'
                conv = f'{theirs}.convs.conv{index + 1}'
                yield LayerMapping(conv, f'{ours}.convs.{index}', norm, f'{ours}.norms.{index}')
            if block == 0:
                yield LayerMapping(f'{theirs}.proj_conv', f'{ours}.shortcut')


def _deeplab_head() -> Iterator[LayerMapping]:
    pyramid = f'{_HEAD}.pyramid'
    yield conv_module('aspp.img_conv.0', f'{pyramid}.pooled', 'aspp.img_conv.1')
    for branch in range(4):
        theirs = f'aspp.features.{branch}'
        yield conv_module(f'{theirs}.0', f'{pyramid}.branches.{branch}', f'{theirs}.1')
    yield LayerMapping('bot_aspp', f'{_HEAD}.pyramid_project')
    yield LayerMapping('bot_fine', f'{_HEAD}.skip_project')
    yield conv_module('final.0', f'{_HEAD}.convs.0', 'final.1')
    yield conv_module('final.3', f'{_HEAD}.convs.1', 'final.4')
    yield LayerMapping('final.6', f'{_HEAD}.conv_seg', bias=Bias.ZERO)


def identify(weights: Mapping[str, Array]) -> str | None:
    """The class that NVIDIA builds, ``OTHER``, or None if it is none of theirs."""
    weights = without_prefix(weights, 'module.')
    heads = {name.split('.', 1)[0] for name in weights}
    if {'backbone', 'ocr'} <= heads and networks.backbone_kind(weights, 'backbone.') == 'hrnet':
        return MULTI_SCALE if _ATTENTION in heads else OCR
    if {'backbone', 'aspp', 'bot_aspp'} <= heads and 'backbone.mod1.conv1.weight' in weights:
        return DEEPLAB
    is_other = 'backbone' in heads and heads & {_ATTENTION, 'bot_aspp', 'bot_fine'}
    return OTHER if is_other and not has_paddle_names(weights) else None


def convert(weights: Mapping[str, Array], name: str) -> Conversion:
    """Weights of the network that :func:`identify` named.

    Raises:
        CheckpointError: lists the entries that do not belong to it and those that it misses, or
            says that this network is none of those that were published.
    """
    weights = without_prefix(weights, 'module.')
    if name == OTHER:
        heads = sorted({key.split('.', 1)[0] for key in weights} - {'backbone'})
        raise CheckpointError(
            f'this looks like a network of {NAME} with the modules backbone, {", ".join(heads)}, '
            f'which is not built here: {", ".join(CONFIGS)} are'
        )
    if name == DEEPLAB:
        units = [*_wide_resnet('backbone.', 'backbone.'), *_deeplab_head()]
    else:
        units = [*networks.hrnet('backbone.', 'backbone.'), *_ocr_head('ocr.')]
        if name == MULTI_SCALE:
            units += _scale_attention(weights)
    state = translate(weights, units, is_inplace_abn=False, what=f'{name} of {NAME}')
    width = None if name == DEEPLAB else networks.hrnet_width(weights, 'backbone.')
    return Conversion(
        state_dict=state,
        source=Source(NAME, name),
        method='hmsa',
        backbone='wide_resnet38' if width is None else f'hrnet{width}',
        num_classes=int(state[f'{_HEAD}.conv_seg.weight'].shape[0]),
        norm_layout='batchnorm',
        config=CONFIGS[name],
        cfg_options={**backbone_options(width=width), **_options(state, name)},
        preprocessing=RGB,
        align_corners=False,
    )


def _options(state: Mapping[str, Array], name: str) -> dict[str, int]:
    """What differs from the config in the head's sizes."""
    usual = {'channels': 256}
    if name != DEEPLAB:
        usual = {'channels': 512, 'key_channels': 256, 'region.channels': 720}
    found = head_options(state, usual)
    # the losses here have no class weights
    options = {key: value for key, value in found.items() if not key.endswith('class_weight')}
    if name == MULTI_SCALE:
        options |= attention_options(state)
    return options


def attention_options(state: Mapping[str, Array]) -> dict[str, int]:
    """Options for the sizes of a scale attention head that are not the published ones."""
    root = 'scale_attention'
    channels, in_channels = state[f'{root}.convs.0.conv.weight'].shape[:2]
    num_convs = 1 + (f'{root}.convs.1.conv.weight' in state)
    found = {'in_channels': int(in_channels), 'channels': int(channels), 'num_convs': num_convs}
    usual = {'in_channels': 512, 'channels': 256, 'num_convs': 2}
    return {f'model.{root}.{key}': found[key] for key in usual if found[key] != usual[key]}
