"""Losses: logits and labels in, a scalar out."""

from openseg_plugin.models.losses.cross_entropy import CrossEntropyLoss
from openseg_plugin.models.losses.ohem import OHEMCrossEntropyLoss

__all__ = ['CrossEntropyLoss', 'OHEMCrossEntropyLoss']
