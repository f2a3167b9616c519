"""Losses: logits and labels in, a scalar out."""

from openseg_plugin.models.losses.cross_entropy import CrossEntropyLoss
from openseg_plugin.models.losses.edge import EdgeLoss
from openseg_plugin.models.losses.focal import FocalLoss
from openseg_plugin.models.losses.image_weighted import (
    BoundaryRelaxedLoss,
    ImageWeightedCrossEntropyLoss,
)
from openseg_plugin.models.losses.lovasz import LovaszLoss
from openseg_plugin.models.losses.ohem import BootstrappedCrossEntropyLoss, OHEMCrossEntropyLoss
from openseg_plugin.models.losses.overlap import DiceLoss, TverskyLoss
from openseg_plugin.models.losses.rmi import RMILoss

__all__ = [
    'BootstrappedCrossEntropyLoss',
    'BoundaryRelaxedLoss',
    'CrossEntropyLoss',
    'DiceLoss',
    'EdgeLoss',
    'FocalLoss',
    'ImageWeightedCrossEntropyLoss',
    'LovaszLoss',
    'OHEMCrossEntropyLoss',
    'RMILoss',
    'TverskyLoss',
]
