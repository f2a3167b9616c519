"""openseg.pytorch: both norm layouts of its published files.

Files of branch ``master`` (PyTorch 0.4) have in-place ABN: norm behind ``X.0`` is ``X.1``, no step
counters, leaky ReLU 0.01 behind the norms of heads. Files of branch ``pytorch-1.7`` have
BatchNorm + ReLU as a pair, so the norm is ``X.1.0``.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from openseg_plugin.converters.checkpoints import networks
from openseg_plugin.converters.checkpoints.conversion import (
    BGR_HRNET,
    BGR_RESNET,
    BGR_RESNET_LIP,
    Conversion,
    Source,
    backbone_options,
)
from openseg_plugin.converters.checkpoints.keys import Array, Unit, translate, without_prefix
from openseg_plugin.converters.checkpoints.openseg_registry import (
    HEAD,
    LIP_CLASSES,
    NETWORKS,
    Network,
)

NAME = 'openseg'
_CLASSIFIER = f'{HEAD}.conv_seg.weight'
_ISA_STAGE = 'isa_head.2.stages.'
_ISA_WINDOW = 8  # pixels; of the first attention, half of it for each further one


def identify(weights: Mapping[str, Array]) -> str | None:
    """The registered name of the network with these entries, or None if it is none of openseg's."""
    weights = without_prefix(weights, 'module.')
    trunk = networks.trunk_kind(weights, 'backbone.')
    heads = {name.split('.', 1)[0] for name in weights} - {'backbone'}

    def likeness(name: str) -> tuple[float, bool]:
        known, fusion = NETWORKS[name].heads, NETWORKS[name].fusion
        is_wide = fusion and fusion[0] in weights and _columns(weights[fusion[0]]) == fusion[1]
        return len(known & heads) / len(known | heads), bool(is_wide)

    candidates = [
        name for name, network in NETWORKS.items() if network.trunk == trunk and network.is_guessed
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
    trunk, backbone, options = _trunk(weights, network.trunk)
    stages = {key.removeprefix(_ISA_STAGE)[0] for key in weights if key.startswith(_ISA_STAGE)}
    head = network.units(norm, len(stages)) if stages else network.units(norm)
    state = translate(
        weights, [*trunk, *head], is_inplace_abn=is_inplace_abn, what=f'{name} of {NAME}'
    )
    num_classes = int(state[_CLASSIFIER].shape[0])
    options |= _options(state, network)
    if len(stages) > 1:
        windows = [[max(1, _ISA_WINDOW >> index)] * 2 for index in range(len(stages))]
        options[f'model.{HEAD}.windows'] = windows
    preprocessing = BGR_HRNET if network.trunk == 'hrnet' else BGR_RESNET
    if network.trunk == 'resnet' and LIP_CLASSES in (num_classes, network.num_classes):
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
    if network.trunk == 'resnet':
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


def _trunk(weights: Mapping[str, Array], kind: str) -> tuple[Iterator[Unit], str, dict]:
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
