"""The zoo pytorch-cv (AceCoooool/pytorch-cv and AceCoooool/segmentation), segmentation networks.

FCN, PSPNet, DeepLabv3, DANet, CCNet and OCNet on ResNet-v1s (v1b to v1e are known too), with or
without JPU and auxiliary head, and BiSeNet on ResNet-18. DANet has three outputs in the first
repository, one and an auxiliary head in the second.

A file does not tell whether the backbone is dilated. Without JPU it is taken as dilated and with
JPU as not, which is how all published files were trained; ``model.backbone.output_stride`` (8 or
32) decides otherwise.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch

from openseg_plugin.converters.checkpoints import jpu_zoo_networks as zoo
from openseg_plugin.converters.checkpoints.conversion import RGB, Conversion, Source
from openseg_plugin.converters.checkpoints.keys import (
    Array,
    Entry,
    Unit,
    translate,
    without_prefix,
)
from openseg_plugin.errors import CheckpointError

NAME = 'jpu_zoo'
VOC_CLASSES, CITYSCAPES_CLASSES = 21, 19
_HEAD, _AUXILIARY = 'model.decode_head', 'model.auxiliary_head'
Table = Callable[[], Iterator[Unit | Entry]]
# network -> (folder of its configs, an entry that only it has, table of the head)
NETWORKS: dict[str, tuple[str, str, Table]] = {
    'bisenet': ('bisenet', 'spatial_path.conv_7x7.0.weight', zoo.bisenet),
    'psp': ('pspnet', 'head.psp.conv1.0.weight', zoo.psp_head),
    'deeplab': ('deeplabv3', 'head.aspp.b0.0.weight', zoo.deeplab_head),
    'danet': ('danet', 'head.conv5a.0.weight', zoo.da_head),
    'ccnet': ('ccnet', 'head.conva.0.weight', zoo.cc_head),
    'ocnet_asp': ('asp_oc', 'context.0.conv2.0.weight', zoo.asp_oc_head),
    'ocnet_base': ('base_oc', 'context.3.stages.0.W.weight', zoo.base_oc_head),
    'fcn': ('fcn', 'head.block.0.weight', zoo.fcn_head),
}
WITH_CITYSCAPES_LEAF = {'fcn', 'pspnet', 'deeplabv3', 'base_oc'}


def identify(weights: Mapping[str, Array]) -> str | None:
    """Key of ``NETWORKS``, or None if it is none of them."""
    weights = without_prefix(weights, 'module.')
    if not {'base1.0.weight', 'base3.0.conv1.weight'} <= weights.keys():
        return None
    found = (name for name, (_, entry, _) in NETWORKS.items() if entry in weights)
    return next(found, None)


def convert(weights: Mapping[str, Array], name: str) -> Conversion:
    """Weights of the network that :func:`identify` named.

    Raises:
        CheckpointError: lists the entries that do not belong to it and those that it misses, or
            says that the zoo has no such combination.
    """
    weights = without_prefix(weights, 'module.')
    method, _, table = NETWORKS[name]
    trunk = zoo.trunk_of(weights)
    depth = trunk.depth
    if (name == 'bisenet') != (depth == zoo.SMALL):
        raise CheckpointError(
            f'this looks like {name} on resnet{depth} of {NAME}, but there only bisenet stands on '
            f'resnet{zoo.SMALL}, and on nothing else: nobody published such a network'
        )
    has_jpu = any(key.startswith('JPU.') for key in weights)
    has_auxiliary = any(key.startswith('auxlayer.') for key in weights)
    has_branches = 'head.conv6.1.weight' in weights
    units = [*zoo.trunk(trunk, is_part=name == 'bisenet'), *table()]
    units += [*zoo.jpu()] if has_jpu else []
    units += [*zoo.auxiliary_head()] if has_auxiliary else []
    units += [*zoo.da_branch_outputs()] if has_branches else []
    weights, dropped = _with_one_key_projection(weights)
    backbone = f'resnet{depth}'
    state = _translate(weights, units, f'{name} on {backbone} of {NAME}')
    classes = int(state['decode_head.conv_seg.weight'].shape[0])
    config, options = _config(method, classes, has_jpu=has_jpu)
    if name == 'bisenet':
        options |= {f'{_AUXILIARY}.{i}.num_classes': classes for i in (0, 1)} if options else {}
    else:
        options |= _options(trunk, classes, options, has_jpu=has_jpu, has_auxiliary=has_auxiliary)
    if has_branches:
        options[f'{_HEAD}.with_branch_outputs'] = True
    return Conversion(
        state_dict=state,
        source=Source(NAME, name),
        method=method,
        backbone=backbone,
        num_classes=classes,
        norm_layout='batchnorm',
        config=config,
        cfg_options=options,
        preprocessing=RGB,
        align_corners=True,
        dropped=dropped,
        assumed='' if name == 'bisenet' else _assumed(has_jpu),
    )


def _assumed(has_jpu: bool) -> str:
    """What no weight of a network tells."""
    stride, why = (32, 'it has JPU') if has_jpu else (8, 'it has no JPU, so it is dilated')
    return f'output stride {stride}, as {why} (model.backbone.output_stride)'


def _config(method: str, classes: int, *, has_jpu: bool) -> tuple[str, dict[str, Any]]:
    """Leaf, and the option for a number of classes that is not the leaf's."""
    kind = {'bisenet': 'r18_zoo'}.get(method, 'r101_zoo_jpu')
    if method == 'pspnet' and not has_jpu and classes != CITYSCAPES_CLASSES:
        kind = 'r101_zoo_dilated'
    if classes == CITYSCAPES_CLASSES and method in WITH_CITYSCAPES_LEAF:
        return f'{method}/{kind}_cityscapes_120e.py', {}
    options = {} if classes == VOC_CLASSES else {f'{_HEAD}.num_classes': classes}
    return f'{method}/{kind}_voc_50e.py', options


def _options(
    trunk: zoo.Trunk, classes: int, other_classes: Mapping, *, has_jpu: bool, has_auxiliary: bool
) -> dict[str, Any]:
    """What to change in a leaf of ResNet-101 with JPU and auxiliary head."""
    options = dict(trunk.options)
    if not has_jpu:
        options |= {'model.neck': None, 'model.backbone.output_stride': 8}
    if not has_auxiliary:
        options[_AUXILIARY] = None
    elif other_classes:
        options[f'{_AUXILIARY}.num_classes'] = classes
    return options


def _with_one_key_projection(weights: Mapping[str, Array]) -> tuple[dict, dict[str, str]]:
    """OCNet's queries and keys come from one module with two names; the second one is loaded."""
    dropped = {
        key: 'second name of f_query, which is loaded after it'
        for key in weights
        if '.f_key.' in key and key.replace('.f_key.', '.f_query.') in weights
    }
    return {key: value for key, value in weights.items() if key not in dropped}, dropped


def _translate(
    weights: Mapping[str, Array], units: list[Unit | Entry], what: str
) -> dict[str, Array]:
    """``translate``; gammas become single numbers, ASPP's branches get our order.

    Raises:
        CheckpointError: as ``translate``.
    """
    state = translate(weights, units, is_inplace_abn=False, what=what)
    for gamma in zoo.GAMMAS.values():
        if gamma in state:
            state[gamma] = state[gamma].reshape(())
    joined = 'decode_head.projection.0.conv.weight'
    if joined in state:
        state[joined] = _last_branch_first(state[joined])
    return state


def _last_branch_first(weight: Array) -> Array:
    """Input channels (of 5 branches) in our order: the picture's mean comes first."""
    width = weight.shape[1] // 5
    order = [*range(4 * width, 5 * width), *range(4 * width)]
    index = torch.tensor(order) if isinstance(weight, torch.Tensor) else order
    return weight[:, index]
