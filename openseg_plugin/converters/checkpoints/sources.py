"""Whose file is it? Asks every source, and converts with the one that knows it."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
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
from openseg_plugin.converters.checkpoints.conversion import CheckpointSource, Conversion, Source
from openseg_plugin.converters.checkpoints.keys import counted, listed, require_numbers, weights_of
from openseg_plugin.errors import CheckpointError

# a backbone is part of the others' files, so the sources of whole networks are asked first; openseg
# goes by likeness, so after those that have modules which nobody else has
SOURCES: tuple[CheckpointSource, ...] = (
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
_OWN_PARTS = (
    *('backbone.', 'neck.', 'decode_head.', 'auxiliary_head.', 'data_preprocessor.'),
    'scale_attention.',
)
_CLASSIFIER = re.compile(r'(^|[._])(conv_seg|region_seg|direction_seg)\.(weight|bias)$')


def is_classifier(name: str) -> bool:
    """Whether this entry of ours has one row per class."""
    return _CLASSIFIER.search(name) is not None


@dataclass(frozen=True)
class Match:
    """Whose file it is, found once and passed along.

    Attributes:
        project: the module that reads it; None: it has the names of this package already.
        source: project and network by name.
    """

    project: CheckpointSource | None
    source: Source

    @property
    def is_own(self) -> bool:
        """Whether the names are those of this package."""
        return self.project is None


def match(weights: Mapping[str, Any]) -> Match | None:
    """Whose network has these names and shapes; None if no source knows them."""
    for project in SOURCES:
        network = project.identify(weights)
        if network is not None:
            return Match(project, Source(project.NAME, network))
    if any(name.startswith('decode_head.') for name in weights) and all(
        name.startswith(_OWN_PARTS) for name in weights
    ):
        return Match(None, Source(OWN, 'model'))
    return None


def identify(checkpoint: Mapping[str, Any]) -> Source | None:
    """Whose network has these names and shapes; None if no source knows them.

    Args:
        checkpoint: names to arrays, or a checkpoint with that under ``state_dict`` or ``model``.
    """
    found = match(weights_of(checkpoint))
    return None if found is None else found.source


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
    found = match(weights)
    if found is None:
        names = list(weights)
        modules = list(dict.fromkeys(name.split('.', 1)[0] for name in names))
        known = ', '.join(dict.fromkeys(module.NAME for module in SOURCES))
        raise CheckpointError(
            f'no known project has a network with these {counted(names)} of '
            f'{listed(modules, limit=12)} (the first are {", ".join(names[:4])}); known are '
            f'{known} and the layout of openseg_plugin itself'
        )
    return convert_match(weights, found)


def convert_match(weights: Mapping[str, Any], found: Match) -> Conversion:
    """As :func:`convert`, of weights that :func:`match` recognized.

    Raises:
        CheckpointError: entries have no place, or are missing.
    """
    if found.project is None:
        return _own(weights, found.source)
    return found.project.convert(weights, found.source.network)


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
