"""What mmseg builds: backbones, heads, losses and segmentors, registered on import."""

from openseg_plugin.models import backbones, decode_heads, losses, segmentors  # noqa: F401
