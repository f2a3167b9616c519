"""Weights of an invented code base: FCN on HRNet, with names of its own.

``encoder.*`` is HRNet under the original names, ``classifier.{0,1,3}`` the head.
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
)

NAME = 'acme'
FCN = 'fcn_hrnet'
_HEAD = 'decode_head'


def table() -> Iterator[LayerMapping]:
    """Every convolution of the file with the normalization behind it: its name there and here."""
    yield from networks.hrnet('encoder.', 'backbone.')
    yield conv_module('classifier.0', f'{_HEAD}.convs.0', 'classifier.1', bias=Bias.KEEP)
    yield LayerMapping('classifier.3', f'{_HEAD}.conv_seg', bias=Bias.KEEP)


def identify(weights: Mapping[str, Array]) -> str | None:
    """``fcn_hrnet``, or None if it is none of theirs."""
    modules = {name.split('.', 1)[0] for name in weights}
    is_hrnet = networks.backbone_kind(weights, 'encoder.') == 'hrnet'
    return FCN if is_hrnet and modules == {'encoder', 'classifier'} else None


def convert(weights: Mapping[str, Array], name: str) -> Conversion:
    """Weights of the network that :func:`identify` named.

    Raises:
        CheckpointError: lists the entries that do not belong to it and those that it misses.
    """
    width = networks.hrnet_width(weights, 'encoder.')
    state = translate(weights, table(), is_inplace_abn=False, what=f'{name} of {NAME}')
    return Conversion(
        state_dict=state,
        source=Source(NAME, name),
        method='fcn',
        backbone=f'hrnet{width}',
        num_classes=int(state[f'{_HEAD}.conv_seg.weight'].shape[0]),
        norm_layout='batchnorm',
        config='fcn/hrnet48_hrnetocr_cityscapes_484e.py',
        cfg_options={**backbone_options(width=width), **head_options(state, {'channels': 720})},
        preprocessing=RGB,
        align_corners=False,
    )
