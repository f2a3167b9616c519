"""ImageNet weights of backbones alone: HRNetV2 and ResNets with a stem of three 3x3 convolutions.

The norms are ordinary BatchNorm; older files merely lack the step counters. Entries of the
classification head are dropped.
"""

from collections.abc import Collection, Mapping

from openseg_plugin.converters.checkpoints import networks
from openseg_plugin.converters.checkpoints.conversion import (
    RGB,
    Conversion,
    Source,
    backbone_options,
)
from openseg_plugin.converters.checkpoints.keys import Array, translate, without_prefix
from openseg_plugin.errors import CheckpointError

NAME = 'imagenet'
# modules that come after the trunk in the classification networks
CLASSIFICATION = {
    'hrnet': {'incre_modules', 'downsamp_modules', 'final_layer', 'classifier', 'fc'},
    'resnet': {'fc', 'classifier'},
}
_TRUNK = {
    'hrnet': {'conv1', 'bn1', 'conv2', 'bn2', 'layer1', 'transition1', 'transition2',
              'transition3', 'stage2', 'stage3', 'stage4'},
    'resnet': {'conv1', 'bn1', 'conv2', 'bn2', 'conv3', 'bn3', 'resinit', 'stem', 'layer1',
               'layer2', 'layer3', 'layer4'},
}  # fmt: skip


def _plain_names(weights: Mapping[str, Array]) -> dict[str, Array]:
    for prefix in ('module.', 'backbone.'):
        weights = without_prefix(weights, prefix)
    return dict(weights)


def identify(weights: Mapping[str, Array]) -> str | None:
    """``hrnet``, ``resnet``, or None if there is more than a trunk and a classification head."""
    weights = _plain_names(weights)
    kind = networks.trunk_kind(weights, '')
    if kind is None:
        return None
    modules = {name.split('.', 1)[0] for name in weights}
    return kind if modules <= _TRUNK[kind] | CLASSIFICATION[kind] else None


def convert(weights: Mapping[str, Array], name: str) -> Conversion:
    """Weights of the backbone that :func:`identify` named, without ``backbone.`` in front.

    Raises:
        CheckpointError: lists the entries that do not belong to it and those that it misses, or
            says that a ResNet has another stem.
    """
    weights = _plain_names(weights)
    dropped = {
        key: 'classification head, not part of the backbone'
        for key in weights
        if key.split('.', 1)[0] in CLASSIFICATION[name]
    }
    weights = {key: value for key, value in weights.items() if key not in dropped}
    if name == 'hrnet':
        width = networks.hrnet_width(weights, '')
        small = networks.hrnet_is_small(weights, '')
        units = networks.hrnet('', '', small=small)
        backbone, config = f'hrnet{width}{"s" if small else ""}', 'ocr/hrnet48_cityscapes_80k.py'
    else:
        depth = networks.resnet_depth(weights, '')
        units = networks.resnet('', '', depth=depth, stem=_stem(weights))
        backbone, config = f'resnet{depth}', 'ocr/r101_cityscapes_40k.py'
    state = translate(weights, units, is_inplace_abn=False, what=f'{backbone} trained on ImageNet')
    return Conversion(
        state_dict=state,
        source=Source(NAME, backbone),
        method='',
        backbone=backbone,
        num_classes=None,
        norm_layout='batchnorm',
        config=config,
        cfg_options=_options(name, backbone),
        # pictures of the ResNets: their authors do not agree, so the config decides
        preprocessing=RGB if name == 'hrnet' else None,
        dropped=dropped,
    )


def _options(kind: str, backbone: str) -> dict:
    if kind == 'resnet':
        return {} if backbone == 'resnet101' else {'model.backbone.depth': int(backbone[6:])}
    width = int(backbone.removeprefix('hrnet').removesuffix('s'))
    options = backbone_options(width=width, small=backbone.endswith('s'))
    if width != 48:
        options['model.decode_head.region.channels'] = 15 * width
    return options


def _stem(names: Collection[str]) -> networks.Stem:
    """How the file calls its stem.

    Raises:
        CheckpointError: when the stem is a single 7x7 convolution.
    """
    for stem in (networks.STEM, networks.STEM_RESINIT, networks.STEM_FLAT):
        if f'{stem[1][0]}.weight' in names:
            return stem
    raise CheckpointError(
        'this ResNet starts with a single convolution, but the one here has a stem of three 3x3 '
        'convolutions: use weights of that kind, such as resnet101-imagenet.pth of openseg.pytorch'
    )
