"""Whose file is it? Asks every source, and converts with the one that knows it."""

import re
from collections.abc import Mapping
from typing import Any

from openseg_plugin.converters.checkpoints import (
    efficientnet_lite,
    hrnet_ocr,
    imagenet,
    mmseg,
    nvidia,
    openseg,
    openseg_segfix,
    paddleseg,
    paddleseg_hmsa,
    pytorchcv,
)
from openseg_plugin.converters.checkpoints.conversion import Conversion, Source
from openseg_plugin.converters.checkpoints.keys import counted, listed, require_numbers, weights_of
from openseg_plugin.errors import CheckpointError

# a backbone is part of the others' files, so the sources of whole networks are asked first; openseg
# goes by likeness, so after those that have modules which nobody else has
SOURCES = (
    nvidia,
    openseg,
    openseg_segfix,
    hrnet_ocr,
    mmseg,
    paddleseg,
    paddleseg_hmsa,
    pytorchcv,
    imagenet,
    efficientnet_lite,
)
OWN = 'openseg_plugin'
_OWN_PARTS = ('backbone.', 'neck.', 'decode_head.', 'auxiliary_head.', 'data_preprocessor.')
_OWN_PARTS += ('scale_attention.',)
_CLASSIFIER = re.compile(r'(^|[._])(conv_seg|region_seg|direction_seg)\.(weight|bias)$')


def is_classifier(name: str) -> bool:
    """Whether this entry of ours has one row per class."""
    return _CLASSIFIER.search(name) is not None


def identify(checkpoint: Mapping[str, Any]) -> Source | None:
    """Whose network has these names and shapes; None if no source knows them.

    Args:
        checkpoint: names to arrays, or a checkpoint with that under ``state_dict`` or ``model``.
    """
    weights = weights_of(checkpoint)
    for source in SOURCES:
        network = source.identify(weights)
        if network is not None:
            return Source(source.NAME, network)
    if any(name.startswith('decode_head.') for name in weights) and all(
        name.startswith(_OWN_PARTS) for name in weights
    ):
        return Source(OWN, 'model')
    return None


def convert(checkpoint: Mapping[str, Any]) -> Conversion:
    """Weights of a known source under our names, and the config that fits them.

    Args:
        checkpoint: names to numpy arrays or tensors, or a checkpoint that holds such a mapping
            under ``state_dict`` or ``model``. It is not changed.

    Raises:
        CheckpointError: when no source knows the names, when an entry of the file has no place
            or an entry of the network is missing (all are listed at once), or when numbers are
            not finite.
    """
    weights = weights_of(checkpoint)
    require_numbers(weights)
    source = identify(weights)
    if source is None:
        names = list(weights)
        modules = list(dict.fromkeys(name.split('.', 1)[0] for name in names))
        known = ', '.join(dict.fromkeys(module.NAME for module in SOURCES))
        raise CheckpointError(
            f'no known project has a network with these {counted(names)} of '
            f'{listed(modules, limit=12)} (the first are {", ".join(names[:4])}); known are '
            f'{known} and the layout of openseg_plugin itself'
        )
    if source.name == OWN:
        return _own(weights, source)
    module = next(
        module
        for module in SOURCES
        if source.name == module.NAME and source.network == module.identify(weights)
    )
    return module.convert(weights, source.network)


def _own(weights: Mapping[str, Any], source: Source) -> Conversion:
    """A file of this package (or of mmseg, where the names agree) as it is."""
    classifier = weights.get('decode_head.conv_seg.weight')
    return Conversion(
        state_dict=dict(weights),
        source=source,
        method='',
        backbone='',
        num_classes=0 if classifier is None else int(classifier.shape[0]),
        norm_layout='batchnorm',
        config='',
        cfg_options={},
        preprocessing=None,
    )
