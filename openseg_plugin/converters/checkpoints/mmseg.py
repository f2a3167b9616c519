"""MMSegmentation's own files: OCRNet (a cascade of two heads) and FCN on HRNet.

Its cascade keeps the region branch as head 0 and the OCR head as head 1; below that the names are
ours. Its FCN head has our names already.
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
from openseg_plugin.converters.checkpoints.keys import Array, Bias, Unit, conv_module, translate

NAME = 'mmseg'
OCR = 'ocrnet'
PLAIN = 'fcn'
_HEAD = 'decode_head'
_REGION = 'decode_head.0'
_FINAL = 'decode_head.1'


def _module(source: str, target: str) -> Unit:
    return conv_module(f'{source}.conv', target, f'{source}.bn')


def _ocr_head() -> Iterator[Unit]:
    yield _module(f'{_REGION}.convs.0', f'{_HEAD}.region_conv')
    yield Unit(f'{_REGION}.conv_seg', f'{_HEAD}.region_seg', bias=Bias.KEEP)
    yield _module(f'{_FINAL}.bottleneck', f'{_HEAD}.bottleneck')
    block = 'object_context_block'
    for name in (*networks.OBJECT_CONTEXT, 'bottleneck'):
        yield _module(f'{_FINAL}.{block}.{name}', f'{_HEAD}.{block}.{name}')
    yield Unit(f'{_FINAL}.conv_seg', f'{_HEAD}.conv_seg', bias=Bias.KEEP)


def _plain_head() -> Iterator[Unit]:
    yield _module(f'{_HEAD}.convs.0', f'{_HEAD}.convs.0')
    yield Unit(f'{_HEAD}.conv_seg', f'{_HEAD}.conv_seg', bias=Bias.KEEP)


def identify(weights: Mapping[str, Array]) -> str | None:
    """``ocrnet``, ``fcn`` (on HRNet), or None if it is neither."""
    trunk = networks.trunk_kind(weights, 'backbone.')
    if trunk is None:
        return None
    if any(name.startswith(f'{_FINAL}.object_context_block.') for name in weights):
        return OCR
    if trunk != 'hrnet' or f'{_HEAD}.convs.0.conv.bias' in weights:  # with a bias it is ours
        return None
    heads = {name.split('.', 2)[1] for name in weights if name.startswith(f'{_HEAD}.')}
    return PLAIN if heads == {'convs', 'conv_seg'} else None


def convert(weights: Mapping[str, Array], name: str) -> Conversion:
    """Weights of the network that :func:`identify` named.

    Raises:
        CheckpointError: lists the entries that do not belong to it and those that it misses.
    """
    trunk, backbone, base, options = _trunk(weights)
    head = _ocr_head() if name == OCR else _plain_head()
    state = translate(
        weights, [*trunk, *head], is_inplace_abn=False, what=f'{name} on {backbone} of {NAME}'
    )
    if name == PLAIN:
        usual = {'channels': 720, 'kernel_size': 1}
    elif backbone.startswith('resnet'):
        usual = {'region.channels': 256, 'region.kernel_size': 3}
    else:
        usual = {'region.channels': 720, 'region.kernel_size': 1}
    method = 'ocr' if name == OCR else 'fcn'
    if name == OCR:
        usual |= {'channels': 512, 'key_channels': 256}
    return Conversion(
        state_dict=state,
        source=Source(NAME, name),
        method=method,
        backbone=backbone,
        num_classes=int(state[f'{_HEAD}.conv_seg.weight'].shape[0]),
        norm_layout='batchnorm',
        config=f'{method}/{base}.py',
        cfg_options={**options, **head_options(state, usual)},
        preprocessing=RGB,
        align_corners=False,
    )


def _trunk(weights: Mapping[str, Array]) -> tuple[Iterator[Unit], str, str, dict]:
    """Table of the backbone, its name, the config's name, and what to change in it."""
    prefix = 'backbone.'
    if networks.trunk_kind(weights, prefix) == 'resnet':
        depth = networks.resnet_depth(weights, prefix)
        options = {} if depth == 101 else {'model.backbone.depth': depth}
        units = networks.resnet(prefix, prefix, depth=depth, stem=networks.STEM)
        return units, f'resnet{depth}', 'r101_mmseg_cityscapes_40k', options
    width = networks.hrnet_width(weights, prefix)
    small = networks.hrnet_is_small(weights, prefix)
    units = networks.hrnet(prefix, prefix, small=small)
    name = f'hrnet{width}{"s" if small else ""}'
    known = {'hrnet18s', 'hrnet18', 'hrnet48'}
    base = f'{name if name in known else "hrnet48"}_mmseg_cityscapes_160k'
    options = {} if name in known else backbone_options(width=width, small=small)
    return units, name, base, options
