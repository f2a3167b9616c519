"""HRNetV2: parallel branches at strides 4, 8, 16, 32 that exchange features all the way.

Paper: Wang et al., "Deep High-Resolution Representation Learning for Visual Recognition",
arXiv 1908.07919. Key names are those of the original code and of mmseg's HRNet, so the weights of
both load. Deliberately different from mmseg's:

- exchange between branches resizes *once*, to the size of the target branch (mmseg first upsamples
  by an integer factor, which goes wrong where a side is no multiple of 32);
- ``align_corners`` is an option: the published OCR models were trained with True;
- ``same_padding`` is an option: PaddleSeg's models were trained with it.

Legend: N batch, C channels, (H, W) size of the input image in pixels.

What HRNet is made of: parallel branches that exchange features.

Paper: arXiv 1908.07919; the head of :mod:`.hrnet` says what differs from mmseg's.

Legend: N batch, C channels.

HRNet2x: an HRNet whose finest branch has stride 2, made for boundaries.

Facts of openseg.pytorch (``hrnet2x20``, also called ``hrnext20``), whose SegFix networks use it: a
stem of one convolution, a first stage of two branches of bottlenecks, and five branches at the end.
Key names are those of the original code.
"""

from collections.abc import Iterable, Sequence
from typing import Any

from mmcv.cnn import build_norm_layer
from mmengine.model import BaseModule
from mmseg.models.backbones.resnet import BasicBlock, Bottleneck
from torch import Tensor, nn

from openseg_plugin.errors import ConfigError
from openseg_plugin.layers.conv import SameConv2d
from openseg_plugin.layers.dual_attention import PolarizedAttention
from openseg_plugin.layers.memory import recomputed
from openseg_plugin.layers.resize import resize_bilinear
from openseg_plugin.models.backbones.freezing import FreezingMixin, require_stage
from openseg_plugin.models.foreign_weights import ForeignBackboneMixin
from openseg_plugin.registry import MODELS


def conv_norm(
    in_channels: int,
    out_channels: int,
    kernel_size: int,
    *,
    stride: int = 1,
    same_padding: bool = False,
    norm_cfg: dict,
) -> list[nn.Module]:
    """Convolution without bias that keeps the size (or halves it), and its normalization."""
    if same_padding and stride > 1:
        conv: nn.Conv2d = SameConv2d(in_channels, out_channels, kernel_size, stride, bias=False)
    else:
        conv = nn.Conv2d(
            in_channels, out_channels, kernel_size, stride, padding=kernel_size // 2, bias=False
        )
    return [conv, build_norm_layer(norm_cfg, out_channels)[1]]


def _with_gaps(layers: Iterable[nn.Module | None]) -> nn.ModuleList:
    """A list with None where nothing is to be done, so that the other layers keep their names."""
    return nn.ModuleList(layers)  # type: ignore[arg-type]  # None is kept, says torch only in words


class PolarizedBlock(BasicBlock):
    """Basic block with polarized self-attention between its two convolutions.

    As in the ``HRNet_W48`` with ``use_psa`` of PaddleSeg, after arXiv 2107.00782.
    """

    def __init__(self, inplanes: int, planes: int, **options: Any) -> None:
        super().__init__(inplanes, planes, **options)
        self.attention = PolarizedAttention(planes)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, h, w) -> (N, C, h, w)."""
        out = self.attention(self.relu(self.norm1(self.conv1(x))))
        return self.relu(self.norm2(self.conv2(out)) + x)


class HRModule(nn.Module):
    """Residual blocks on every branch, then every branch receives the sum over all branches.

    Args:
        channels: width of each branch, finest first; each branch has half the resolution of the
            one before it.
        num_blocks: residual blocks per branch.
        align_corners: convention of the bilinear resize from coarse to fine branches.
        same_padding: see :class:`HRNet`.
        block: kind of the residual blocks.
        norm_cfg: normalization, as mmcv builds it.
        with_cp: keep only the inputs for the gradient and compute the rest again.
    """

    def __init__(
        self,
        channels: Sequence[int],
        num_blocks: int,
        *,
        align_corners: bool,
        same_padding: bool,
        block: 'type[BasicBlock | Bottleneck]' = BasicBlock,
        norm_cfg: dict,
        with_cp: bool = False,
    ) -> None:
        super().__init__()
        self.with_cp = with_cp
        down = dict(stride=2, same_padding=same_padding, norm_cfg=norm_cfg)
        self.align_corners = align_corners
        self.branches = nn.ModuleList(
            nn.Sequential(
                *(
                    block(width, width // block.expansion, norm_cfg=norm_cfg)
                    for _ in range(num_blocks)
                )
            )
            for width in channels
        )
        self.fuse_layers = nn.ModuleList(
            _with_gaps(
                self._exchange(channels, source, target, down) for source in range(len(channels))
            )
            for target in range(len(channels))
        )
        self.relu = nn.ReLU(inplace=True)

    @staticmethod
    def _exchange(
        channels: Sequence[int], source: int, target: int, down: dict
    ) -> nn.Module | None:
        """The convolutions from branch ``source`` to branch ``target``; None for itself.

        ``down`` are the options of those that halve the resolution.
        """
        if source == target:
            return None
        if source > target:
            return nn.Sequential(
                *conv_norm(channels[source], channels[target], 1, norm_cfg=down['norm_cfg'])
            )
        steps = []
        for step in range(target - source):
            last = step == target - source - 1
            width = channels[target] if last else channels[source]
            layers = conv_norm(channels[source], width, 3, **down)
            steps.append(nn.Sequential(*layers, *([] if last else [nn.ReLU(inplace=True)])))
        return nn.Sequential(*steps)

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """One map per branch in, one map of the same shape per branch out."""
        if self.with_cp:
            return recomputed(self, self._forward, maps)
        return self._forward(maps)

    def _forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        maps = [branch(x) for branch, x in zip(self.branches, maps)]
        return [self._fuse(target, maps) for target in range(len(maps))]

    def _fuse(self, target: int, maps: Sequence[Tensor]) -> Tensor:
        size = maps[target].shape[2:]
        layers = self.fuse_layers[target]
        assert isinstance(layers, nn.ModuleList), 'one layer per source'
        terms = (
            x
            if layer is None
            else resize_bilinear(layer(x), size, align_corners=self.align_corners)
            for layer, x in zip(layers, maps)
        )
        # The first sum is a tensor of its own, so the others may be added in place.
        total = next(terms) + next(terms)
        for term in terms:
            total += term
        return self.relu(total)


STEM_CHANNELS = 64


@MODELS.register_module()
class HRNet(FreezingMixin, ForeignBackboneMixin, BaseModule):
    """Four maps at strides 4, 8, 16, 32 with ``width * (1, 2, 4, 8)`` channels.

    Args:
        width: channels of the finest branch: 18, 32 or 48 in the paper.
        align_corners: convention of the bilinear resize in the exchange between branches. True in
            openseg and in HRNet-OCR's OCR models, False in mmseg.
        same_padding: whether convolutions of stride 2 pad an even side by one pixel at its end
            alone, as in PaddleSeg (:mod:`openseg_plugin.layers.conv`), not on both sides.
        num_modules: exchange modules in stage 2, 3 and 4. mmseg's "small" HRNet-W18 has (1, 3, 2).
        num_blocks: residual blocks in layer1 and on each branch of each module ("small": 2).
        layer1: residual blocks of layer1 and the width of their 3x3 convolutions; None:
            ``(num_blocks, 64)``. PaddleSeg's HRNet-W18-Small-V1 has (1, 32).
        polarized_attention: put polarized self-attention into the blocks of stages 2 to 4
            (:class:`PolarizedBlock`).
        in_channels: channels of the input image.
        norm_cfg: normalization, as mmcv builds it. None: BatchNorm.
        frozen_stages: 0 freezes the stem, n also the first n stages (1 is ``layer1``), with their
            statistics; -1: nothing.
        norm_eval: keep the running statistics of BatchNorm fixed while training.
        with_cp: what to compute a second time in training, instead of keeping it for the gradient.
            None: ``layer1``, whose maps are large and cheap to compute. True: the exchange
            modules as well. HMSA on HRNet-W48 keeps 0.41 of that then, and an iteration on a
            CPU takes up to a third longer (``tools/benchmark.py hmsa``). False: nothing.
        init_cfg: mmengine initialization, such as ``dict(type='Pretrained', checkpoint=...)``.
            None: Kaiming. (HRNet-OCR starts convolutions from N(0, 0.001^2); both are meant to be
            overwritten by ImageNet weights.)

    Raises:
        ConfigError: ``num_modules`` does not name three stages, or there are not so many stages to
            freeze.
    """

    FIRST_STAGE = 2

    def __init__(
        self,
        width: int = 48,
        *,
        align_corners: bool = True,
        same_padding: bool = False,
        num_modules: Sequence[int] = (1, 4, 3),
        num_blocks: int = 4,
        layer1: Sequence[int] | None = None,
        polarized_attention: bool = False,
        in_channels: int = 3,
        norm_cfg: dict | None = None,
        frozen_stages: int = -1,
        norm_eval: bool = False,
        with_cp: bool | None = None,
        init_cfg: dict | list | None = None,
    ) -> None:
        super().__init__(init_cfg or _KAIMING)
        stages = range(self.FIRST_STAGE, 5)
        if len(num_modules) != len(stages):
            *others, last = map(str, stages)
            raise ConfigError(
                f'{type(self).__name__} got num_modules={tuple(num_modules)}, but needs one number '
                f'for each of stage {", ".join(others)} and {last}.'
            )
        norm_cfg = norm_cfg or dict(type='BN', requires_grad=True)
        self.norm_eval = norm_eval
        self.with_cp = with_cp
        self.branch_channels = self._branch_channels(width)
        self.branch_block = PolarizedBlock if polarized_attention else BasicBlock
        down = dict(stride=2, same_padding=same_padding, norm_cfg=norm_cfg)
        before = self._make_stem(in_channels, tuple(layer1 or (num_blocks, STEM_CHANNELS)), down)
        for stage, modules in zip(stages, num_modules):
            channels, block = self._stage(stage)
            self.add_module(f'transition{stage - 1}', self._make_transition(before, channels, down))
            layers = (
                HRModule(
                    channels,
                    num_blocks,
                    align_corners=align_corners,
                    same_padding=same_padding,
                    block=block,
                    norm_cfg=norm_cfg,
                    with_cp=bool(with_cp),
                )
                for _ in range(modules)
            )
            self.add_module(f'stage{stage}', nn.Sequential(*layers))
            before = channels
        self._freeze_stages(frozen_stages)

    def _freeze_stages(self, number: int) -> None:
        require_stage(number, 4, type(self).__name__)
        names = ['conv1', 'bn1', 'conv2', 'bn2'] if number >= 0 else []
        for stage in range(1, number + 1):
            names += ['layer1'] if stage < self.FIRST_STAGE else []
            names += [f'transition{stage - 1}', f'stage{stage}']
        modules = dict(self.named_children())
        self.freeze(modules[name] for name in names if name in modules)

    @staticmethod
    def _branch_channels(width: int) -> tuple[int, ...]:
        return tuple(width * 2**i for i in range(4))

    def _stage(self, stage: int) -> tuple[tuple[int, ...], type[nn.Module]]:
        """Channels of the branches of a stage, and its kind of residual block."""
        return self.branch_channels[:stage], self.branch_block

    def _make_stem(self, in_channels: int, layer1: tuple[int, ...], down: dict) -> tuple[int, ...]:
        """Builds what comes before the first stage; returns the channels of its only map."""
        stem = STEM_CHANNELS
        self.conv1, self.bn1 = conv_norm(in_channels, stem, 3, **down)
        self.conv2, self.bn2 = conv_norm(stem, stem, 3, **down)
        self.relu = nn.ReLU(inplace=True)
        self.layer1 = self._make_layer1(*layer1, norm_cfg=down['norm_cfg'])
        return (layer1[1] * Bottleneck.expansion,)

    @staticmethod
    def _make_layer1(num_blocks: int, planes: int, *, norm_cfg: dict) -> nn.Sequential:
        stem, out = STEM_CHANNELS, planes * Bottleneck.expansion
        shortcut = nn.Sequential(*conv_norm(stem, out, 1, norm_cfg=norm_cfg))
        args = dict(planes=planes, norm_cfg=norm_cfg)
        blocks = [Bottleneck(stem, downsample=shortcut, **args)]
        blocks += [Bottleneck(out, **args) for _ in range(num_blocks - 1)]
        return nn.Sequential(*blocks)

    @staticmethod
    def _make_transition(
        before: Sequence[int], channels: Sequence[int], down: dict
    ) -> nn.ModuleList:
        """Adapt the width of old branches; make the new branch from the coarsest old one."""
        layers: list[nn.Module | None] = []
        for old, new in zip(before, channels):
            if old == new:
                layers.append(None)
            else:
                layers.append(
                    nn.Sequential(
                        *conv_norm(old, new, 3, norm_cfg=down['norm_cfg']),
                        nn.ReLU(inplace=True),
                    )
                )
        new_branch = conv_norm(before[-1], channels[-1], 3, **down)
        # One more level of nesting, as in the published key names ("transition2.2.0.0.weight").
        layers.append(nn.Sequential(nn.Sequential(*new_branch, nn.ReLU(inplace=True))))
        return _with_gaps(layers)

    def forward(self, inputs: Tensor) -> list[Tensor]:
        """Feature maps of a batch of images.

        Args:
            inputs: (N, in_channels, H, W) normalized images, any size.

        Returns:
            Four maps (N, width * 2**i, ceil(H / s), ceil(W / s)) with s = 4, 8, 16, 32.
        """
        maps = [self._stem(inputs)]
        for stage in range(self.FIRST_STAGE, 5):
            transition = getattr(self, f'transition{stage - 1}')
            sources = maps + [maps[-1]]
            maps = [x if layer is None else layer(x) for layer, x in zip(transition, sources)]
            maps = getattr(self, f'stage{stage}')(maps)
        return maps

    def _stem(self, inputs: Tensor) -> Tensor:
        x = self.relu(self.bn1(self.conv1(inputs)))
        x = self.relu(self.bn2(self.conv2(x)))
        if self.with_cp is None or self.with_cp:
            return recomputed(self.layer1, self.layer1, x)
        return self.layer1(x)


_KAIMING = [
    dict(type='Kaiming', layer='Conv2d'),
    dict(type='Constant', val=1, layer=['_BatchNorm', 'GroupNorm']),
]


STAGE1_CHANNELS = (128, 256)


@MODELS.register_module()
class HRNet2x(HRNet):
    """Five maps at strides 2, 4, 8, 16, 32 with ``width * (1, 2, 4, 8, 16)`` channels.

    Images may have any size; the map of stride s has ceil(H / s) x ceil(W / s) pixels.

    Args:
        width: channels of the finest branch; 20 in openseg.
        align_corners: see :class:`HRNet`.
        num_modules: exchange modules in stage 1, 2, 3 and 4.
        num_blocks: residual blocks on each branch of each module.
        in_channels: channels of the input image.
        norm_cfg: normalization, as mmcv builds it. None: BatchNorm.
        frozen_stages: 0 freezes the stem, n also the first n stages; -1: nothing.
        norm_eval: keep the running statistics of BatchNorm fixed while training.
        init_cfg: see :class:`HRNet`.

    Raises:
        ConfigError: ``num_modules`` does not name four stages, or there are not so many to freeze.
    """

    FIRST_STAGE = 1

    def __init__(
        self,
        width: int = 20,
        *,
        align_corners: bool = True,
        num_modules: Sequence[int] = (1, 1, 4, 3),
        num_blocks: int = 4,
        in_channels: int = 3,
        norm_cfg: dict | None = None,
        frozen_stages: int = -1,
        norm_eval: bool = False,
        init_cfg: dict | list | None = None,
    ) -> None:
        super().__init__(
            width,
            align_corners=align_corners,
            num_modules=num_modules,
            num_blocks=num_blocks,
            in_channels=in_channels,
            norm_cfg=norm_cfg,
            frozen_stages=frozen_stages,
            norm_eval=norm_eval,
            init_cfg=init_cfg,
        )

    @staticmethod
    def _branch_channels(width: int) -> tuple[int, ...]:
        return tuple(width * 2**i for i in range(5))

    def _stage(self, stage: int) -> tuple[tuple[int, ...], type[nn.Module]]:
        if stage == 1:
            return STAGE1_CHANNELS, Bottleneck
        return self.branch_channels[: stage + 1], BasicBlock

    def _make_stem(self, in_channels: int, layer1: tuple[int, ...], down: dict) -> tuple[int, ...]:
        self.conv1, self.bn1 = conv_norm(in_channels, STEM_CHANNELS, 3, **down)
        self.relu = nn.ReLU(inplace=True)
        return (STEM_CHANNELS,)

    def _stem(self, inputs: Tensor) -> Tensor:
        return self.relu(self.bn1(self.conv1(inputs)))
