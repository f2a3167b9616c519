"""Backbones: pictures in, feature maps out."""

from openseg_plugin.models.backbones.hrnet import HRNet

__all__ = ['HRNet']
