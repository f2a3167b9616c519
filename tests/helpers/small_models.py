"""Stand-ins that let a whole config run in a second: a backbone with the real channels and strides.

The heads, losses, segmentor and data preprocessor under test stay the real ones.
"""

import json
from functools import cache

import torch
from mmengine.config import ConfigDict
from mmengine.model import BaseModule
from torch import Tensor, nn

from openseg_plugin.registry import MODELS


@MODELS.register_module()
class StandInBackbone(BaseModule):
    """One strided 1x1 convolution per map: (N, C, H, W) -> maps of ``channels`` at ``strides``."""

    def __init__(
        self, channels: tuple[int, ...], strides: tuple[int, ...], inputs: int = 3
    ) -> None:
        super().__init__()
        self.strides = strides
        self.convs = nn.ModuleList(nn.Conv2d(inputs, width, 1, bias=False) for width in channels)

    def forward(self, inputs: Tensor) -> list[Tensor]:
        sizes = [[-(-side // stride) for side in inputs.shape[2:]] for stride in self.strides]
        return [
            conv(nn.functional.adaptive_avg_pool2d(inputs, size))
            for conv, size in zip(self.convs, sizes)
        ]


@MODELS.register_module()
class TwoConvs(BaseModule):
    """Maps of 4 and 6 channels at strides 4 and 8, right at every size when they are exported."""

    def __init__(self) -> None:
        super().__init__()
        self.fine = nn.Conv2d(3, 4, 5, stride=4, padding=2)
        self.coarse = nn.Conv2d(4, 6, 3, stride=2, padding=1)

    def forward(self, inputs: Tensor) -> list[Tensor]:
        fine = self.fine(inputs)
        return [fine, self.coarse(fine)]


@cache
def _maps_of(backbone: str) -> tuple[tuple[int, ...], tuple[int, ...]]:
    with torch.device('meta'):
        built = MODELS.build(ConfigDict(json.loads(backbone), init_cfg=None))
        built.eval()
        maps = built(torch.empty(1, 3, 64, 64))
    return tuple(x.shape[1] for x in maps), tuple(64 // x.shape[3] for x in maps)


def maps_of(backbone: ConfigDict) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Channels and strides of the maps that a configured backbone returns, found by building it."""
    return _maps_of(json.dumps(backbone.to_dict()))


def with_stand_in_backbone(model: ConfigDict) -> ConfigDict:
    """The same model config on a :class:`StandInBackbone` with the same maps."""
    channels, strides = maps_of(model.backbone)
    backbone = dict(type='openseg_plugin.StandInBackbone', channels=channels, strides=strides)
    return ConfigDict({**model, 'backbone': backbone})
