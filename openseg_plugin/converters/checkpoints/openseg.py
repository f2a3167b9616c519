"""openseg.pytorch: both norm layouts of its published files.

Files of branch ``master`` (PyTorch 0.4) have in-place ABN: norm behind ``X.0`` is ``X.1``, no step
counters, leaky ReLU 0.01 behind the norms of heads. Files of branch ``pytorch-1.7`` have
BatchNorm + ReLU as a pair, so the norm is ``X.1.0``.

Which networks openseg.pytorch registers: how to know each, its sizes and its config.

Five networks of ground-truth OCR have the very weights of another one (``ideal_*`` those of
``spatial_ocrnet``, ``ce2p_ideal_ocrnet`` those of ``ce2p_ocrnet``), so a file does not tell them
apart, and neither need it: choose the config (``configs/ocr/r101_oracle_*``) and give it the file.
Only ``ideal_spatial_ocrnet_b`` has a wider fusion and is recognized. The window sizes of ``isanet``
are not in its weights either: (8, 8) and then (4, 4) are assumed.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from openseg_plugin.converters.checkpoints import networks
from openseg_plugin.converters.checkpoints import openseg_networks as tables
from openseg_plugin.converters.checkpoints.conversion import (
    BGR_HRNET,
    BGR_RESNET,
    BGR_RESNET_LIP,
    CITYSCAPES_CLASSES,
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

# option below model -> (entry of ours, axis, number in the config)
Sizes = dict[str, tuple[str, int, int]]
HEAD = tables.HEAD
AUXILIARY = tables.AUXILIARY
LIP_CLASSES = 20
IDEAL = {'type': 'openseg_plugin.OracleEncoderDecoder'}


@dataclass(frozen=True)
class Network:
    """One registered network.

    Attributes:
        method: folder of the configs.
        backbone: 'hrnet' or 'resnet'.
        heads: its modules with weights apart from the backbone.
        units: table of the heads, given what follows a norm's index ('' or '.0').
        config: its config, with a place for 'bgr' or 'iabn'.
        sizes: what the weights tell about the config's options.
        options: what to change in the config apart from sizes, by option below ``model``.
        losses: options below ``model`` that hold class weights.
        num_classes: number of classes in the config.
        fusion: (entry of the file, columns) that tells it from networks with the same modules.
        is_guessed: whether a file with these modules is taken for it; False where another network
            has the same weights.
    """

    method: str
    backbone: str
    heads: frozenset[str]
    units: Callable[..., Iterator[LayerMapping]]
    config: str
    sizes: Sizes
    options: dict[str, Any] = field(default_factory=dict)
    losses: tuple[str, ...] = (f'{HEAD}.loss_decode',)
    num_classes: int = CITYSCAPES_CLASSES
    fusion: tuple[str, int] | None = None
    is_guessed: bool = True


def _sizes(**numbers: int) -> Sizes:
    """Entries that tell the numbers, given as ``decode_head`` options with ``__`` for dots."""
    entries = {
        'channels': ('conv_seg.weight', 1),
        'kernel_size': ('convs.0.conv.weight', 2),
        'key_channels': ('object_context_block.value_project.conv.weight', 0),
        'region.channels': ('region_conv.conv.weight', 0),
        'region.kernel_size': ('region_conv.conv.weight', 2),
        'asp_channels': ('asp.context_conv.conv.weight', 0),
    }
    options = {option.replace('__', '.'): number for option, number in numbers.items()}
    return {
        f'{HEAD}.{option}': (f'{HEAD}.{entries[option][0]}', entries[option][1], number)
        for option, number in options.items()
    }


def _attention(module: str, *, key: int, value: int) -> Sizes:
    """Widths of an attention between pixels."""
    return {
        f'{HEAD}.attention.key_channels': (f'{module}.key_project.0.conv.weight', 0, key),
        f'{HEAD}.attention.value_channels': (f'{module}.value_project.weight', 0, value),
    }


_AUXILIARY_SIZES: Sizes = {
    f'{AUXILIARY}.channels': (f'{AUXILIARY}.conv_seg.weight', 1, 512),
    f'{AUXILIARY}.kernel_size': (f'{AUXILIARY}.convs.0.conv.weight', 2, 3),
}
_WITH_AUXILIARY = (f'{HEAD}.loss_decode', f'{AUXILIARY}.loss_decode')
_WITH_REGION = (f'{HEAD}.loss_decode', f'{HEAD}.loss_region')
_REGION = {'region__kernel_size': 3}
_CE2P_SIZES = {
    **_sizes(channels=256, region__channels=512, **_REGION),
    f'{HEAD}.edge_channels': (f'{HEAD}.edge_branch.convs.0.conv.weight', 0, 256),
    f'{HEAD}.narrow_channels': (f'{HEAD}.decoder.detail_conv.conv.weight', 0, 48),
}
_OCR_HEADS = frozenset({'conv3x3', 'ocr_distri_head', 'cls_head', 'aux_head'})
_SPATIAL_HEADS = frozenset({'conv_3x3', 'spatial_ocr_head', 'head', 'dsn_head'})
_CE2P_HEADS = frozenset({'edgelayer', 'decoder', 'cls', 'dsn'})
_ISA = f'{HEAD}.relations.0.global_relation'
_FUSION = 'spatial_ocr_head.conv_bn_dropout.0.weight'


def _hrnet_ocr(method: str, *, fusion: tuple[str, int] | None = None, **sizes: int) -> Network:
    return Network(
        method,
        'hrnet',
        _OCR_HEADS,
        tables.hrnet_w48_ocr,
        f'{method}/hrnet48_{{}}_cityscapes_80k.py',
        _sizes(**sizes, **_REGION),
        losses=_WITH_REGION,
        fusion=fusion,
    )


def _resnet(method: str, heads: set[str], units: Callable, sizes: Sizes, **more: Any) -> Network:
    return Network(
        method,
        'resnet',
        frozenset(heads),
        units,
        f'{method}/r101_{{}}_cityscapes_40k.py',
        sizes | _AUXILIARY_SIZES,
        losses=_WITH_AUXILIARY,
        **more,
    )


def _oracle(gather: str, distribute: str, *contexts: str, **more: Any) -> Network:
    return Network(
        'ocr',
        'resnet',
        _SPATIAL_HEADS,
        tables.spatial_ocrnet,
        'ocr/r101_oracle_{}_cityscapes_40k.py',
        _sizes(channels=512, key_channels=256, region__channels=512, **_REGION),
        options={
            f'{HEAD}.gather': gather,
            f'{HEAD}.distribute': distribute,
            f'{HEAD}.contexts': contexts,
        },
        losses=_WITH_REGION,
        **more,
    )


def _ce2p(context: str, module: str, units: Callable, **more: Any) -> Network:
    return Network(
        'ce2p',
        'resnet',
        _CE2P_HEADS | {module},
        units,
        f'ce2p/r101_{context.replace("ideal", "ocr")}_{{}}_lip_110k.py',
        _CE2P_SIZES,
        losses=(*_WITH_REGION, f'{HEAD}.loss_decoder'),
        num_classes=LIP_CLASSES,
        **more,
    )


NETWORKS: dict[str, Network] = {
    'hrnet_w48': Network(
        'fcn',
        'hrnet',
        frozenset({'cls_head'}),
        tables.hrnet_w48,
        'fcn/hrnet48_{}_cityscapes_80k.py',
        _sizes(channels=720, kernel_size=3),
    ),
    'hrnet_w48_ocr': _hrnet_ocr('ocr', channels=512, key_channels=256, region__channels=720),
    'hrnet_w48_ocr_b': _hrnet_ocr(
        'ocr_b',
        channels=256,
        key_channels=128,
        region__channels=256,
        fusion=('cls_head.weight', 256),
    ),
    'hrnet_w48_asp_ocr': Network(
        'asp_ocr',
        'hrnet',
        frozenset({'asp_ocr_head', 'cls_head', 'aux_head'}),
        tables.hrnet_w48_asp_ocr,
        'asp_ocr/hrnet48_{}_cityscapes_80k.py',
        _sizes(channels=256, asp_channels=256, region__channels=512, **_REGION),
        losses=_WITH_REGION,
    ),
    'spatial_ocrnet': Network(
        'ocr',
        'resnet',
        _SPATIAL_HEADS,
        tables.spatial_ocrnet,
        'ocr/r101_{}_cityscapes_40k.py',
        _sizes(channels=512, key_channels=256, region__channels=512, **_REGION),
        losses=_WITH_REGION,
    ),
    'spatial_asp_ocrnet': Network(
        'asp_ocr',
        'resnet',
        frozenset({'asp_ocr_head', 'head', 'dsn_head'}),
        tables.spatial_asp_ocrnet,
        'asp_ocr/r101_{}_cityscapes_40k.py',
        _sizes(channels=256, asp_channels=256, region__channels=512, **_REGION),
        losses=_WITH_REGION,
    ),
    'base_ocnet': _resnet(
        'base_oc',
        {'oc_module_pre', 'oc_module', 'cls', 'dsn'},
        tables.base_ocnet,
        _sizes(channels=512) | _attention(f'{HEAD}.self_attention', key=256, value=256),
    ),
    'asp_ocnet': _resnet(
        'asp_oc',
        {'context', 'cls', 'dsn'},
        tables.asp_ocnet,
        _sizes(channels=512, asp_channels=256)
        | _attention(f'{HEAD}.asp.self_attention', key=128, value=128),
    ),
    'isanet': _resnet(
        'isa',
        {'isa_head', 'cls_head', 'dsn_head'},
        tables.isanet,
        _sizes(channels=512)
        | {f'{HEAD}.key_channels': (f'{_ISA}.key_project.0.conv.weight', 0, 256)},
    ),
    'fcnet': _resnet(
        'fcn', {'cls_head', 'dsn_head'}, tables.fcnet, _sizes(channels=512, kernel_size=3)
    ),
    'ce2p_asp_ocrnet': _ce2p('asp_ocr', 'asp_ocr_head', tables.ce2p_asp_ocrnet),
    'ce2p_ocrnet': _ce2p('ocr', 'spatial_ocr_head', tables.ce2p_ocrnet),
    'ce2p_ideal_ocrnet': _ce2p(
        'ideal',
        'spatial_ocr_head',
        tables.ce2p_ocrnet,
        options=IDEAL | {f'{HEAD}.context': 'oracle'},
        is_guessed=False,
    ),
    'ideal_spatial_ocrnet': _oracle('gt', 'gt', 'object', is_guessed=False),
    'ideal_spatial_ocrnet_b': _oracle('gt', 'gt', 'object', 'background', fusion=(_FUSION, 1536)),
    'ideal_spatial_ocrnet_c': _oracle('gt', 'gt', 'background', is_guessed=False),
    'ideal_gather_ocrnet': _oracle('gt', 'predicted', 'object', is_guessed=False),
    'ideal_distribute_ocrnet': _oracle('predicted', 'gt', 'object', is_guessed=False),
}


NAME = 'openseg'
_CLASSIFIER = f'{HEAD}.conv_seg.weight'
_ISA_STAGE = 'isa_head.2.stages.'
_ISA_WINDOW = 8  # pixels; of the first attention, half of it for each further one


def identify(weights: Mapping[str, Array]) -> str | None:
    """The registered name of the network with these entries, or None if it is none of openseg's."""
    weights = without_prefix(weights, 'module.')
    backbone = networks.backbone_kind(weights, 'backbone.')
    heads = {name.split('.', 1)[0] for name in weights} - {'backbone'}

    def likeness(name: str) -> tuple[float, bool]:
        known, fusion = NETWORKS[name].heads, NETWORKS[name].fusion
        is_wide = fusion and fusion[0] in weights and _columns(weights[fusion[0]]) == fusion[1]
        return len(known & heads) / len(known | heads), bool(is_wide)

    candidates = [
        name
        for name, network in NETWORKS.items()
        if network.backbone == backbone and network.is_guessed
    ]
    best = max(candidates, key=likeness, default=None)
    return best if best and likeness(best)[0] >= 0.5 else None


def convert(weights: Mapping[str, Array], name: str) -> Conversion:
    """Weights of the network that :func:`identify` named, or of another with the same weights.

    Raises:
        CheckpointError: lists the entries that do not belong to it and those that it misses.
    """
    weights = without_prefix(weights, 'module.')
    network = NETWORKS[name]
    norm = '.0' if _has_nested_norms(weights, network) else ''
    is_inplace_abn = not norm
    backbone_units, backbone, options = _backbone(weights, network.backbone)
    stages = {key.removeprefix(_ISA_STAGE)[0] for key in weights if key.startswith(_ISA_STAGE)}
    head = network.units(norm, len(stages)) if stages else network.units(norm)
    state = translate(
        weights, [*backbone_units, *head], is_inplace_abn=is_inplace_abn, what=f'{name} of {NAME}'
    )
    num_classes = int(state[_CLASSIFIER].shape[0])
    options |= _options(state, network)
    if len(stages) > 1:
        windows = [[max(1, _ISA_WINDOW >> index)] * 2 for index in range(len(stages))]
        options[f'model.{HEAD}.windows'] = windows
    preprocessing = BGR_HRNET if network.backbone == 'hrnet' else BGR_RESNET
    if network.backbone == 'resnet' and LIP_CLASSES in (num_classes, network.num_classes):
        preprocessing = BGR_RESNET_LIP
        if network.num_classes != LIP_CLASSES:  # otherwise the config has it
            options['model.data_preprocessor.mean'] = list(preprocessing.mean)
    return Conversion(
        state_dict=state,
        source=Source(NAME, name),
        method=network.method,
        backbone=backbone,
        num_classes=num_classes,
        norm_layout='inplace_abn' if is_inplace_abn else 'batchnorm',
        config=network.config.format('iabn' if is_inplace_abn else 'bgr'),
        cfg_options=options,
        preprocessing=preprocessing,
        align_corners=True,
        has_leaky_head=is_inplace_abn,
        assumed='; '.join(_assumed(name, network, options)),
    )


def _assumed(name: str, network: Network, options: Mapping[str, Any]) -> Iterator[str]:
    """What no weight of the network tells."""
    if network.backbone == 'resnet':
        stride = 16 if network.method == 'ce2p' else 8
        yield f'output stride {stride} (model.backbone.output_stride, .multi_grid)'
    if name == 'isanet':
        found = options.get(f'model.{HEAD}.windows', [[_ISA_WINDOW] * 2])
        sizes = ' and '.join(f'{height}x{width}' for height, width in found)
        yield f'windows of {sizes} (model.{HEAD}.windows)'
    twins = [other for other, one in NETWORKS.items() if not one.is_guessed]
    twins = [other for other in twins if NETWORKS[other].units is network.units]
    if network.is_guessed and network.fusion is None and twins:
        yield f'{name}, not {" or ".join(twins)} with the same weights'


def _options(state: Mapping[str, Array], network: Network) -> dict[str, Any]:
    """What to change in the network's config: its form, sizes and number of classes."""
    options = {f'model.{option}': value for option, value in network.options.items()}
    for option, (entry, axis, usual) in network.sizes.items():
        found = int(state[entry].shape[axis])
        if found != usual:
            options[f'model.{option}'] = found
    num_classes = int(state[_CLASSIFIER].shape[0])
    if num_classes != network.num_classes:
        for part in sorted({loss.split('.')[0] for loss in network.losses}):
            options[f'model.{part}.num_classes'] = num_classes
        options |= {f'model.{loss}.class_weight': None for loss in network.losses}
    return options


def _has_nested_norms(weights: Mapping[str, Array], network: Network) -> bool:
    """Whether any head norm sits inside a norm + activation pair."""
    units = (unit for unit in network.units('.0') if unit.source_norm)
    return any(f'{unit.source_norm}.weight' in weights for unit in units)


def _backbone(weights: Mapping[str, Array], kind: str) -> tuple[Iterator[LayerMapping], str, dict]:
    """Table of the backbone, its name, and the options that name it in a config."""
    prefix = 'backbone.'
    if kind == 'hrnet':
        width = networks.hrnet_width(weights, prefix)
        units = networks.hrnet(prefix, prefix)
        return units, f'hrnet{width}', backbone_options(width=width)
    depth = networks.resnet_depth(weights, prefix)
    options = {} if depth == 101 else {'model.backbone.depth': depth}
    stem = networks.STEM_RESINIT
    if _has_plain_stem(weights, prefix):
        stem, options = stem[:1], options | networks.PLAIN_OPTIONS
    units = networks.resnet(prefix, prefix, depth=depth, stem=stem)
    return units, f'resnet{depth}', options


def _columns(array: Array) -> int | None:
    return int(array.shape[1]) if len(array.shape) > 1 else None


def _has_plain_stem(weights: Mapping[str, Array], prefix: str) -> bool:
    """Whether the ResNet is one without ``deepbase``."""
    rest = tuple(f'{prefix}{name}.' for pair in networks.STEM_RESINIT[1:] for name in pair)
    return not any(key.startswith(rest) for key in weights)
