"""What HRNet is made of: parallel branches that exchange features.

Paper: arXiv 1908.07919; the head of :mod:`.hrnet` says what differs from mmseg's.

Legend: N batch, C channels.
"""

from collections.abc import Sequence

from mmcv.cnn import build_norm_layer
from mmseg.models.backbones.resnet import BasicBlock
from torch import Tensor, nn

from openseg_plugin.layers.checkpointing import recomputed
from openseg_plugin.layers.resize import resize_bilinear
from openseg_plugin.layers.same_padding import SameConv2d


def conv_norm(
    in_channels: int,
    out_channels: int,
    kernel_size: int,
    *,
    stride: int = 1,
    same_padding: bool = False,
    norm_cfg: dict,
) -> list[nn.Module]:
    """Convolution without bias that keeps the size (or halves it), and its normalisation."""
    if same_padding and stride > 1:
        conv = SameConv2d(in_channels, out_channels, kernel_size, stride, bias=False)
    else:
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
        same_padding: see :class:`HRNet`.
        block: kind of the residual blocks.
        norm_cfg: normalisation, as mmcv builds it.
        with_cp: keep only the inputs for the gradient and compute the rest again.
    """

    def __init__(
        self,
        channels: Sequence[int],
        num_blocks: int,
        *,
        align_corners: bool,
        same_padding: bool,
        block: type[nn.Module] = BasicBlock,
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
            nn.ModuleList(
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
