"""SegFix: where object boundaries are, and in which direction the inside of the object lies.

Paper: Yuan, Xie, Chen, Wang, "SegFix: Model-Agnostic Boundary Refinement for Segmentation", ECCV
2020, Sec. 3. Both branches read all maps of the backbone, resized to the first and concatenated:
1x1 convolution, normalization, activation, 1x1 convolution, no convolution has a bias
(openseg.pytorch, ``segfix_hrnet``). Not a classifier of the dataset's classes: it says nothing
about what an object is.

Legend: N batch, C channels, D direction classes, (h, w) size of the first map, (H, W) size of the
image.
"""

from collections.abc import Sequence

import torch
from mmcv.cnn import ConvModule
from mmengine.model import BaseModule
from mmseg.structures import SegDataSample
from torch import Tensor, nn

from openseg_plugin.layers.direction_field import (
    BOUNDARY_METRICS,
    boundary_counts,
    boundary_metrics,
    direction_vectors,
    segfix_losses,
)
from openseg_plugin.layers.resize import concat_at_first, resize_bilinear
from openseg_plugin.models.heads.decode_head import BATCH_NORM
from openseg_plugin.registry import MODELS

BOUNDARY_CLASSES = 2  # interior, boundary


@MODELS.register_module()
class SegFixHead(BaseModule):
    """Boundary logits and direction logits.

    Args:
        in_channels: channels of the backbone's maps that are used.
        channels: width of each branch.
        num_directions: D: 4, 8, 16 or 32. Not the number of classes of the dataset.
        align_corners: convention of every bilinear resize; the losses and the published weights
            are made for True.
        norm_cfg: normalization, as mmcv builds it. None: BatchNorm.
        act_cfg: activation. None: ReLU.
        boundary_weight: factor of the boundary loss.
        direction_weight: factor of the direction loss.
        threshold: boundary probability above which a pixel is boundary: it is moved in a
            prediction, and its direction counts in the loss.
        ignore_index: marks pixels of the targets that do not count.
        in_index: which of the backbone's maps these are. None: all.
        init_cfg: mmengine initialization. None: the last convolutions from N(0, 0.01^2).

    Raises:
        ValueError: ``num_directions`` has no table of directions.
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        channels: int = 256,
        *,
        num_directions: int = 8,
        align_corners: bool = True,
        norm_cfg: dict | None = None,
        act_cfg: dict | None = None,
        boundary_weight: float = 1.0,
        direction_weight: float = 1.0,
        threshold: float = 0.5,
        ignore_index: int = 255,
        in_index: Sequence[int] | None = None,
        init_cfg: dict | list | None = None,
    ) -> None:
        super().__init__(init_cfg or _SMALL_CLASSIFIERS)
        direction_vectors(num_directions)
        self.num_directions = num_directions
        self.align_corners = align_corners
        self.loss_weights = (boundary_weight, direction_weight)
        self.threshold = threshold
        self.ignore_index = ignore_index
        self.in_index = tuple(range(len(in_channels)) if in_index is None else in_index)
        for name, outputs in (('boundary', BOUNDARY_CLASSES), ('direction', num_directions)):
            conv = ConvModule(
                sum(in_channels),
                channels,
                1,
                norm_cfg=norm_cfg or BATCH_NORM,
                act_cfg=act_cfg or dict(type='ReLU'),
            )
            self.add_module(f'{name}_conv', conv)
            self.add_module(f'{name}_seg', nn.Conv2d(channels, outputs, 1, bias=False))

    def forward(self, feats: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Boundary logits (N, 2, h, w) and direction logits (N, D, h, w) of the backbone's maps."""
        chosen = [feats[index] for index in self.in_index]
        maps = concat_at_first(chosen, align_corners=self.align_corners)
        return (
            self.boundary_seg(self.boundary_conv(maps)),
            self.direction_seg(self.direction_conv(maps)),
        )

    def loss(
        self,
        inputs: Sequence[Tensor],
        batch_data_samples: Sequence[SegDataSample],
        train_cfg: dict | None = None,
    ) -> dict[str, Tensor]:
        """Both losses, and how well the batch is predicted (percent).

        Args:
            inputs: the backbone's maps.
            batch_data_samples: with ``gt_boundary`` and ``gt_direction`` (1, H, W) of
                ``openseg_plugin.SegFixTargets``.
            train_cfg: not used; mmseg passes it.
        """
        boundary, directions = (
            torch.cat([sample.get(name).data for sample in batch_data_samples])
            for name in ('gt_boundary', 'gt_direction')
        )
        return self.loss_by_feat(self(inputs), boundary, directions)

    def loss_by_feat(
        self, outputs: tuple[Tensor, Tensor], boundary: Tensor, directions: Tensor
    ) -> dict[str, Tensor]:
        """The same from the outputs of ``forward`` and targets (N, H, W)."""
        boundary_logits, direction_logits = (
            resize_bilinear(logits, boundary.shape[1:], align_corners=self.align_corners)
            for logits in outputs
        )
        values = segfix_losses(
            boundary_logits,
            direction_logits,
            boundary,
            directions,
            threshold=self.threshold,
            ignore_index=self.ignore_index,
        )
        names = ('loss_boundary', 'loss_direction')
        losses = {
            name: weight * value for name, weight, value in zip(names, self.loss_weights, values)
        }
        with torch.no_grad():
            counts = boundary_counts(
                boundary_logits.softmax(dim=1)[:, 1] > self.threshold,
                direction_logits.argmax(dim=1),
                boundary,
                directions,
                ignore_index=self.ignore_index,
            )
            metrics = 100 * boundary_metrics(counts)
        return losses | dict(zip(BOUNDARY_METRICS, metrics))


_SMALL_CLASSIFIERS = dict(
    type='Normal', std=0.01, override=[dict(name='boundary_seg'), dict(name='direction_seg')]
)
