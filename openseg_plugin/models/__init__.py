"""What mmseg builds: backbones, heads, losses and segmentors, registered on import."""

from openseg_plugin.models import backbones, data_preprocessor, heads, losses, necks, segmentors

__all__ = ['backbones', 'data_preprocessor', 'heads', 'losses', 'necks', 'segmentors']
