"""Everything in this package that configs name as ``openseg_plugin.<name>``.

``IterBasedTrainLoop``, ``CheckpointHook``, ``SigtermHook``, ``NanGuardHook``, ``LabelCheckHook``,
``OverlayHook``, ``AttentionHook``, ``BackboneAndRest`` (optimiser groups), ``PolyLR``,
``EpochPolyLR``, ``WarmupPolyLR``, ``CPUAmpOptimWrapper``.
"""

from openseg_plugin.data_checks.training_check import LabelCheckHook
from openseg_plugin.engine.hooks.checkpoint import CheckpointHook
from openseg_plugin.engine.hooks.invalid_loss import NanGuardHook
from openseg_plugin.engine.hooks.signals import SigtermHook
from openseg_plugin.engine.hooks.visualization import AttentionHook, OverlayHook
from openseg_plugin.engine.optim.schedulers import (
    BackboneAndRest,
    CPUAmpOptimWrapper,
    EpochPolyLR,
    PolyLR,
    WarmupPolyLR,
)
from openseg_plugin.engine.runner.loops import IterBasedTrainLoop

__all__ = [
    'AttentionHook',
    'BackboneAndRest',
    'CPUAmpOptimWrapper',
    'CheckpointHook',
    'EpochPolyLR',
    'IterBasedTrainLoop',
    'LabelCheckHook',
    'NanGuardHook',
    'OverlayHook',
    'PolyLR',
    'SigtermHook',
    'WarmupPolyLR',
]
