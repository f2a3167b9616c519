"""Backbones: images in, feature maps out."""

from openseg_plugin.models.backbones.bisenet import BiSeNet
from openseg_plugin.models.backbones.hrnet import HRNet, HRNet2x
from openseg_plugin.models.backbones.resnet import ResNet, ResNetVd
from openseg_plugin.models.backbones.timm import TimmBackbone
from openseg_plugin.models.backbones.wide_resnet import WideResNet38

__all__ = ['BiSeNet', 'HRNet', 'HRNet2x', 'ResNet', 'ResNetVd', 'TimmBackbone', 'WideResNet38']
