"""What mmseg builds: backbones, heads, losses and segmentors, registered on import."""

from openseg_plugin.models import (  # noqa: F401
    backbones,
    data_preprocessor,
    decode_heads,
    losses,
    necks,
    segmentors,
)
