"""Everything of SegFix that configs name as ``openseg_plugin.<name>``."""

from openseg_plugin.segfix.evaluator import SegFixEvaluator, SegFixMetric
from openseg_plugin.segfix.head import SegFixHead
from openseg_plugin.segfix.segmentor import SegFix
from openseg_plugin.segfix.transforms import PackSegFixInputs, SegFixTargets

__all__ = [
    'PackSegFixInputs',
    'SegFix',
    'SegFixEvaluator',
    'SegFixHead',
    'SegFixMetric',
    'SegFixTargets',
]
