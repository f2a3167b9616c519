"""Everything in this package that configs name as ``openseg_plugin.<name>``.

``IterBasedTrainLoop``, ``CheckpointHook``, ``SigtermHook``, ``NanGuardHook``, ``LabelCheckHook``,
``OverlayHook``, ``AttentionHook``, ``BackboneAndRest`` (optimiser groups), ``PolyLR``,
``EpochPolyLR``, ``WarmupPolyLR``, ``CPUAmpOptimWrapper``.
"""

from openseg_plugin.engine.attention_hook import AttentionHook
from openseg_plugin.engine.checkpoint_hook import CheckpointHook
from openseg_plugin.engine.epoch_poly import EpochPolyLR
from openseg_plugin.engine.label_check import LabelCheckHook
from openseg_plugin.engine.loops import IterBasedTrainLoop
from openseg_plugin.engine.nan_guard import NanGuardHook
from openseg_plugin.engine.optim import BackboneAndRest, CPUAmpOptimWrapper, PolyLR
from openseg_plugin.engine.overlay_hook import OverlayHook
from openseg_plugin.engine.segfix_evaluator import SegFixEvaluator
from openseg_plugin.engine.sigterm import SigtermHook
from openseg_plugin.engine.warmup_poly import WarmupPolyLR

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
    'SegFixEvaluator',
    'SigtermHook',
    'WarmupPolyLR',
]
