"""ImageNet weights of backbones alone: HRNetV2 and ResNets with a stem of three 3x3 convolutions.

The same of PaddleClas (HRNet, ResNet-vd) under Paddle's names.

The norms are ordinary BatchNorm; older files merely lack the step counters. Entries of the
classification head are dropped.
"""

from collections.abc import Callable, Collection, Iterator, Mapping

from openseg_plugin.converters.checkpoints import networks, paddle_networks
from openseg_plugin.converters.checkpoints.conversion import (
    RGB,
    Conversion,
    Source,
    backbone_options,
)
from openseg_plugin.converters.checkpoints.keys import (
    Array,
    LayerMapping,
    translate,
    without_prefix,
)
from openseg_plugin.errors import CheckpointError

NAME = 'imagenet'
# modules that come after the backbone in the classification networks
CLASSIFICATION = {
    'hrnet': {'incre_modules', 'downsamp_modules', 'final_layer', 'classifier', 'fc'},
    'resnet': {'fc', 'classifier'},
}
PADDLE = 'paddle '
_SEGMENTATION = {'head', 'ocrnet', 'scale_attn'}  # modules of PaddleSeg's networks
_BACKBONE = {
    'hrnet': {'conv1', 'bn1', 'conv2', 'bn2', 'layer1', 'transition0', 'transition1',
              'transition2', 'transition3', 'stage1', 'stage2', 'stage3', 'stage4'},
    'resnet': {'conv1', 'bn1', 'conv2', 'bn2', 'conv3', 'bn3', 'resinit', 'stem', 'layer1',
               'layer2', 'layer3', 'layer4'},
}  # fmt: skip


# pytorch-cv keeps ResNet-v1s, converted from GluonCV, in one list of modules
_V1S_LIST = 'features.'
_V1S = {
    **{str(index): f'stem.{index}' for index in (0, 1, 3, 4, 6, 7)},
    **{str(9 + stage): f'layer{stage}' for stage in (1, 2, 3, 4)},
}


def _plain_names(weights: Mapping[str, Array]) -> dict[str, Array]:
    for prefix in ('module.', 'backbone.'):
        weights = without_prefix(weights, prefix)
    if f'{_V1S_LIST}10.0.conv1.weight' not in weights:
        return dict(weights)
    return {_v1s_name(name): value for name, value in weights.items()}


def _v1s_name(name: str) -> str:
    index, _, rest = name.removeprefix(_V1S_LIST).partition('.')
    known = name.startswith(_V1S_LIST) and index in _V1S
    return f'{_V1S[index]}.{rest}' if known else name


def identify(weights: Mapping[str, Array]) -> str | None:
    """``hrnet``, ``resnet``, either with ``paddle`` before it; None: more than a backbone."""
    weights = _plain_names(weights)
    modules = {name.split('.', 1)[0] for name in weights}
    if paddle_networks.has_paddle_names(weights):
        kind = paddle_networks.backbone_kind(weights, '')
        return None if kind is None or modules & _SEGMENTATION else f'{PADDLE}{kind}'
    kind = networks.backbone_kind(weights, '')
    if kind is None:
        return None
    return kind if modules <= _BACKBONE[kind] | CLASSIFICATION[kind] else None


def convert(weights: Mapping[str, Array], name: str) -> Conversion:
    """Weights of the backbone that :func:`identify` named, without ``backbone.`` in front.

    Raises:
        CheckpointError: lists the entries that do not belong to it and those that it misses, or
            says that a ResNet has another stem.
    """
    weights = _plain_names(weights)
    if name.startswith(PADDLE):
        name = name.removeprefix(PADDLE)
        units, backbone, is_backbone = _paddle_table(weights, name)
        weights = paddle_networks.as_torch_names(weights)
    else:
        units, backbone, is_backbone = _table(weights, name)
    dropped = {
        key: 'classification head, not part of the backbone'
        for key in weights
        if not is_backbone(key.split('.', 1)[0])
    }
    weights = {key: value for key, value in weights.items() if key not in dropped}
    state = translate(weights, units, is_inplace_abn=False, what=f'{backbone} trained on ImageNet')
    config, options = _config(name, backbone)
    return Conversion(
        state_dict=state,
        source=Source(NAME, backbone),
        method='',
        backbone=backbone,
        num_classes=None,
        norm_layout='batchnorm',
        config=config,
        cfg_options=options,
        # images of the ResNets: their authors do not agree, so the config decides
        preprocessing=RGB if name == 'hrnet' else None,
        dropped=dropped,
    )


Table = tuple[Iterator[LayerMapping], str, Callable[[str], bool]]


def _table(weights: Mapping[str, Array], kind: str) -> Table:
    """Units, the backbone's name, and whether a module belongs to it."""
    if kind == 'hrnet' and networks.is_hrnet2x(weights, ''):
        units, backbone = networks.hrnet2x('', ''), f'hrnet2x{networks.hrnet_width(weights, "")}'
    elif kind == 'hrnet':
        width, small = networks.hrnet_width(weights, ''), networks.hrnet_is_small(weights, '')
        units, backbone = networks.hrnet('', '', small=small), _hrnet(width, small)
    else:
        depth = networks.resnet_depth(weights, '')
        units = networks.resnet('', '', depth=depth, stem=_stem(weights))
        backbone = f'resnet{depth}'
    return units, backbone, lambda module: module not in CLASSIFICATION[kind]


def _paddle_table(weights: Mapping[str, Array], kind: str) -> Table:
    if kind == 'hrnet':
        found = paddle_networks.hrnet_kind(weights, '')
        units, backbone = paddle_networks.hrnet('', '', found), found.name
    else:
        depth = paddle_networks.resnet_depth(weights, '')
        units = paddle_networks.resnet_vd('', '', depth=depth)
        backbone = f'resnet{depth}vd'
    layers = list(units)
    modules = {layer.source.split('.', 1)[0] for layer in layers}
    return iter(layers), backbone, modules.__contains__


def _hrnet(width: int, small: bool) -> str:
    return f'hrnet{width}{"s" if small else ""}'


def _config(kind: str, backbone: str) -> tuple[str, dict]:
    """A config that trains from these weights, and what to change in it."""
    if backbone.endswith('vd'):
        return f'isa/r{backbone[6:]}_paddleseg_cityscapes_80k.py', {}
    if kind == 'resnet':
        options = {} if backbone == 'resnet101' else {'model.backbone.depth': int(backbone[6:])}
        return 'ocr/r101_cityscapes_40k.py', options
    if backbone.startswith('hrnet2x'):
        width = int(backbone.removeprefix('hrnet2x'))
        options = {} if width == 20 else {'model.backbone.width': width}
        return 'segfix/hrnet2x20_cityscapes_80k.py', options
    if backbone.endswith('s1'):
        width = int(backbone[len('hrnet') : -len('s1')])
        options = paddle_networks.HRNetKind(width=width, **paddle_networks.SMALL_V1).options()
    else:
        width = int(backbone.removeprefix('hrnet').removesuffix('s'))
        options = backbone_options(width=width, small=backbone.endswith('s'))
    if width != 48:
        options['model.decode_head.region.channels'] = 15 * width
    return 'ocr/hrnet48_cityscapes_80k.py', options


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
