"""HRNetV2: parallel branches at strides 4, 8, 16, 32 that exchange features all the way.

Paper: Wang et al., "Deep High-Resolution Representation Learning for Visual Recognition",
arXiv 1908.07919. Key names are those of the original code and of mmseg's HRNet, so the weights of
both load. Deliberately different from mmseg's:

- exchange between branches resizes *once*, to the size of the target branch (mmseg first upsamples
  by an integer factor, which goes wrong where a side is no multiple of 32);
- ``align_corners`` is an option: the published OCR models were trained with True.

Legend: N batch, C channels, (H, W) size of the input picture in pixels.
"""

from collections.abc import Sequence

from mmcv.cnn import build_norm_layer
from mmengine.model import BaseModule
from mmseg.models.backbones.resnet import BasicBlock, Bottleneck
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from openseg_plugin.errors import ConfigError
from openseg_plugin.layers.resize import resize_bilinear
from openseg_plugin.models.foreign_weights import ForeignBackboneMixin
from openseg_plugin.registry import MODELS

STEM_CHANNELS = 64


def _conv_norm(
    in_channels: int, out_channels: int, kernel_size: int, *, stride: int = 1, norm_cfg: dict
) -> list[nn.Module]:
    conv = nn.Conv2d(
        in_channels, out_channels, kernel_size, stride, padding=kernel_size // 2, bias=False
    )
    return [conv, build_norm_layer(norm_cfg, out_channels)[1]]


class HRModule(nn.Module):
    """Residual blocks on every branch, then every branch receives the sum over all branches.

    Args:
        channels: width of each branch, finest first; each branch has half the resolution of the
            one before it.
        num_blocks: residual blocks per branch.
        align_corners: convention of the bilinear resize from coarse to fine branches.
        norm_cfg: normalisation, as mmcv builds it.
    """

    def __init__(
        self,
        channels: Sequence[int],
        num_blocks: int,
        *,
        align_corners: bool,
        norm_cfg: dict,
    ) -> None:
        super().__init__()
        self.align_corners = align_corners
        self.branches = nn.ModuleList(
            nn.Sequential(*(BasicBlock(width, width, norm_cfg=norm_cfg) for _ in range(num_blocks)))
            for width in channels
        )
        self.fuse_layers = nn.ModuleList(
            nn.ModuleList(
                self._exchange(channels, source, target, norm_cfg)
                for source in range(len(channels))
            )
            for target in range(len(channels))
        )
        self.relu = nn.ReLU(inplace=True)

    @staticmethod
    def _exchange(
        channels: Sequence[int], source: int, target: int, norm_cfg: dict
    ) -> nn.Module | None:
        """The convolutions from branch ``source`` to branch ``target``; None for itself."""
        if source == target:
            return None
        if source > target:
            return nn.Sequential(
                *_conv_norm(channels[source], channels[target], 1, norm_cfg=norm_cfg)
            )
        steps = []
        for step in range(target - source):
            last = step == target - source - 1
            width = channels[target] if last else channels[source]
            layers = _conv_norm(channels[source], width, 3, stride=2, norm_cfg=norm_cfg)
            steps.append(nn.Sequential(*layers, *([] if last else [nn.ReLU(inplace=True)])))
        return nn.Sequential(*steps)

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """One map per branch in, one map of the same shape per branch out."""
        maps = [branch(x) for branch, x in zip(self.branches, maps)]
        return [self._fuse(target, maps) for target in range(len(maps))]

    def _fuse(self, target: int, maps: Sequence[Tensor]) -> Tensor:
        size = maps[target].shape[2:]
        terms = (
            x
            if layer is None
            else resize_bilinear(layer(x), size, align_corners=self.align_corners)
            for layer, x in zip(self.fuse_layers[target], maps)
        )
        # The first sum is a tensor of its own, so the others may be added in place.
        total = next(terms) + next(terms)
        for term in terms:
            total += term
        return self.relu(total)


@MODELS.register_module()
class HRNet(ForeignBackboneMixin, BaseModule):
    """Four maps at strides 4, 8, 16, 32 with ``width * (1, 2, 4, 8)`` channels.

    Args:
        width: channels of the finest branch: 18, 32 or 48 in the paper.
        align_corners: convention of the bilinear resize in the exchange between branches. True in
            openseg and in HRNet-OCR's OCR models, False in mmseg.
        num_modules: exchange modules in stage 2, 3 and 4. mmseg's "small" HRNet-W18 has (1, 3, 2).
        num_blocks: residual blocks in layer1 and on each branch of each module ("small": 2).
        in_channels: channels of the input picture.
        norm_cfg: normalisation, as mmcv builds it. None: BatchNorm.
        norm_eval: keep the running statistics of BatchNorm fixed while training.
        init_cfg: mmengine initialisation, such as ``dict(type='Pretrained', checkpoint=...)``.
            None: Kaiming. (HRNet-OCR starts convolutions from N(0, 0.001^2); both are meant to be
            overwritten by ImageNet weights.)

    Raises:
        ConfigError: ``num_modules`` does not name three stages.
    """

    def __init__(
        self,
        width: int = 48,
        *,
        align_corners: bool = True,
        num_modules: Sequence[int] = (1, 4, 3),
        num_blocks: int = 4,
        in_channels: int = 3,
        norm_cfg: dict | None = None,
        norm_eval: bool = False,
        init_cfg: dict | list | None = None,
    ) -> None:
        super().__init__(init_cfg or _KAIMING)
        if len(num_modules) != 3:
            raise ConfigError(
                f'HRNet got num_modules={tuple(num_modules)}, but needs one number for each of '
                'stage 2, 3 and 4, such as (1, 4, 3).'
            )
        norm_cfg = norm_cfg or dict(type='BN', requires_grad=True)
        self.norm_eval = norm_eval
        self.branch_channels = tuple(width * 2**i for i in range(4))
        stem = STEM_CHANNELS
        self.conv1, self.bn1 = _conv_norm(in_channels, stem, 3, stride=2, norm_cfg=norm_cfg)
        self.conv2, self.bn2 = _conv_norm(stem, stem, 3, stride=2, norm_cfg=norm_cfg)
        self.relu = nn.ReLU(inplace=True)
        self.layer1 = self._make_layer1(num_blocks, norm_cfg)

        before = (stem * Bottleneck.expansion,)
        for stage, modules in enumerate(num_modules, start=2):
            channels = self.branch_channels[:stage]
            self.add_module(
                f'transition{stage - 1}', self._make_transition(before, channels, norm_cfg)
            )
            self.add_module(
                f'stage{stage}',
                nn.Sequential(
                    *(
                        HRModule(
                            channels,
                            num_blocks,
                            align_corners=align_corners,
                            norm_cfg=norm_cfg,
                        )
                        for _ in range(modules)
                    )
                ),
            )
            before = channels

    @staticmethod
    def _make_layer1(num_blocks: int, norm_cfg: dict) -> nn.Sequential:
        stem, out = STEM_CHANNELS, STEM_CHANNELS * Bottleneck.expansion
        shortcut = nn.Sequential(*_conv_norm(stem, out, 1, norm_cfg=norm_cfg))
        args = dict(planes=stem, norm_cfg=norm_cfg)
        blocks = [Bottleneck(stem, downsample=shortcut, **args)]
        blocks += [Bottleneck(out, **args) for _ in range(num_blocks - 1)]
        return nn.Sequential(*blocks)

    @staticmethod
    def _make_transition(
        before: Sequence[int], channels: Sequence[int], norm_cfg: dict
    ) -> nn.ModuleList:
        """Adapt the width of old branches; make the new branch from the coarsest old one."""
        layers: list[nn.Module | None] = []
        for old, new in zip(before, channels):
            if old == new:
                layers.append(None)
            else:
                layers.append(
                    nn.Sequential(
                        *_conv_norm(old, new, 3, norm_cfg=norm_cfg), nn.ReLU(inplace=True)
                    )
                )
        new_branch = _conv_norm(before[-1], channels[-1], 3, stride=2, norm_cfg=norm_cfg)
        # One more level of nesting, as in the published key names ("transition2.2.0.0.weight").
        layers.append(nn.Sequential(nn.Sequential(*new_branch, nn.ReLU(inplace=True))))
        return nn.ModuleList(layers)

    def forward(self, inputs: Tensor) -> list[Tensor]:
        """Feature maps of a batch of pictures.

        Args:
            inputs: (N, in_channels, H, W) normalised pictures, any size.

        Returns:
            Four maps (N, width * 2**i, ceil(H / s), ceil(W / s)) with s = 4, 8, 16, 32.
        """
        x = self.relu(self.bn1(self.conv1(inputs)))
        x = self.relu(self.bn2(self.conv2(x)))
        maps = [self.layer1(x)]
        for stage in (2, 3, 4):
            transition = getattr(self, f'transition{stage - 1}')
            sources = maps + [maps[-1]]
            maps = [x if layer is None else layer(x) for layer, x in zip(transition, sources)]
            maps = getattr(self, f'stage{stage}')(maps)
        return maps

    def train(self, mode: bool = True) -> 'HRNet':
        """As usual, but ``norm_eval`` keeps the normalisation layers in evaluation mode."""
        super().train(mode)
        if mode and self.norm_eval:
            for module in self.modules():
                if isinstance(module, _BatchNorm):
                    module.eval()
        return self


_KAIMING = [
    dict(type='Kaiming', layer='Conv2d'),
    dict(type='Constant', val=1, layer=['_BatchNorm', 'GroupNorm']),
]
