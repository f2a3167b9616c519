"""Edge loss of human parsing networks with an edge branch (CE2P).

Paper: Ruan et al., "Devil in the Details: Towards Accurate Single and Multiple Human Parsing",
arXiv 1809.05996, Sec. 3.2: the edge branch is trained beside the parsing. openseg names its loss
``ce2p_auxce_loss``, which is in no public version, so its form is not known; what is here is a
choice: cross entropy of edge against no edge, each weighted by the fraction of the other among the
labelled pixels of the batch, for edges are few.

Legend: N batch, (H, W) size of the label map in pixels.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from openseg_plugin.models.losses.base import LabelMapLoss
from openseg_plugin.models.losses.cross_entropy import cross_entropy
from openseg_plugin.registry import MODELS


def edges_of(labels: Tensor, *, ignore_index: int = 255, width: int = 3) -> Tensor:
    """Edges of label maps: (N, H, W) int64, 1 edge, 0 none, ``ignore_index`` where not labelled.

    Two neighbors with different labels, neither ignored, make an edge: the lower one of a
    vertical pair, the left one of a horizontal pair, the upper one of a diagonal pair; then the
    edge is widened by a square. That is openseg's rule for its edge files.

    Args:
        labels: (N, H, W) int64 class ids or ``ignore_index``.
        ignore_index: label of pixels without a class.
        width: odd side of the square in pixels.
    """
    valid = labels != ignore_index

    def differ(a: tuple, b: tuple) -> Tensor:
        return (labels[a] != labels[b]) & valid[a] & valid[b]

    full, first, last = slice(None), slice(None, -1), slice(1, None)
    edge = torch.zeros_like(valid)
    edge[:, 1:] |= differ((full, first), (full, last))
    edge[:, :, :-1] |= differ((full, full, first), (full, full, last))
    edge[:, :-1, :-1] |= differ((full, first, first), (full, last, last))
    edge[:, :-1, 1:] |= differ((full, first, last), (full, last, first))
    wide = F.max_pool2d(edge.float(), width, stride=1, padding=width // 2).long()
    return wide.masked_fill(~valid, ignore_index)


@MODELS.register_module()
class EdgeLoss(LabelMapLoss):
    """Balanced cross entropy of edge logits against the edges of the label map.

    Args:
        loss_weight: factor of the result.
        width: width of the edges in pixels of the label map, odd; 3 in openseg's edge files.
        loss_name: key in the log; must begin with "loss" to be minimized.
    """

    def __init__(
        self, loss_weight: float = 1.0, *, width: int = 3, loss_name: str = 'loss_edge'
    ) -> None:
        super().__init__(loss_weight, loss_name=loss_name)
        self.width = width

    def value(self, logits: Tensor, labels: Tensor, **options: Any) -> Tensor:
        """See :class:`LabelMapLoss`."""
        edges = edges_of(labels, width=self.width, **options)
        counts = torch.stack([(edges == 0).sum(), (edges == 1).sum()]).to(torch.float32)
        class_weight = (counts.flip(0) / counts.sum().clamp(min=1)).clamp(min=1e-6)
        return cross_entropy(logits, edges, class_weight=class_weight, **options)
