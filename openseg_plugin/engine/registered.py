"""Everything in this package that configs name as ``openseg_plugin.<name>``.

``IterBasedTrainLoop``, ``CheckpointHook``, ``SaveOnSignalHook``, ``MaxTimeHook``,
``EarlyStoppingHook``, ``CheckInvalidLossHook``, ``LabelCheckHook``, ``RuntimeInfoHook``,
``OverlayHook``, ``AttentionHook``, ``ReportHook``, ``CurvesHook``, ``ConfusionHook``,
``BackboneHeadConstructor`` (optimiser groups), ``PolyLR``,
``EpochPolyLR``, ``WarmupPolyLR``, ``BFloat16OptimWrapper``,
``Visualizer``.
"""

from openseg_plugin.data_checks.training_check import LabelCheckHook
from openseg_plugin.engine.hooks.checkpoint import CheckpointHook
from openseg_plugin.engine.hooks.invalid_loss import CheckInvalidLossHook
from openseg_plugin.engine.hooks.plots import ConfusionHook, CurvesHook
from openseg_plugin.engine.hooks.report import ReportHook
from openseg_plugin.engine.hooks.signals import EarlyStoppingHook, MaxTimeHook, SaveOnSignalHook
from openseg_plugin.engine.hooks.visualization import AttentionHook, OverlayHook, Visualizer
from openseg_plugin.engine.optim.schedulers import (
    BackboneHeadConstructor,
    BFloat16OptimWrapper,
    EpochPolyLR,
    PolyLR,
    WarmupPolyLR,
)
from openseg_plugin.engine.runner.loops import IterBasedTrainLoop
from openseg_plugin.engine.runner.speed import RuntimeInfoHook

__all__ = [
    'AttentionHook',
    'BFloat16OptimWrapper',
    'BackboneHeadConstructor',
    'CheckInvalidLossHook',
    'CheckpointHook',
    'ConfusionHook',
    'CurvesHook',
    'EarlyStoppingHook',
    'EpochPolyLR',
    'IterBasedTrainLoop',
    'LabelCheckHook',
    'MaxTimeHook',
    'OverlayHook',
    'PolyLR',
    'ReportHook',
    'RuntimeInfoHook',
    'SaveOnSignalHook',
    'Visualizer',
    'WarmupPolyLR',
]
