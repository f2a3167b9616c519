"""Region mutual information: predictions shall depend on the labels of a neighborhood.

Paper: Zhao, Wang, Yang, Cai, "Region Mutual Information Loss", arXiv 1910.12037. Label maps (one
per class) and probabilities are pooled; every 3x3 neighborhood gives a 9-vector; the loss is half
the log-determinant of the covariance of the labels' vectors that the probabilities' leave
unexplained, over 9, averaged over the batch and summed over the classes. Covariances are sums, not
means. The total adds binary cross entropy:

=============  =====================================  ==========================
option         NVIDIA (hierarchical attention)        openseg.pytorch, ``*_RMI``
=============  =====================================  ==========================
pool           'avg', 4x4, stride 4                   'max', 3x3, stride 3
ridge          5e-4                                   1e-3
weights        0.5 cross entropy + 0.5 RMI            the same
=============  =====================================  ==========================

PaddleSeg's ``RMILoss`` has openseg's pooling, NVIDIA's ridge and no cross entropy. Deliberately
different from all: matrices that are not positive definite are fixed instead of refused.

Legend: N batch, K classes, (H, W) size of the label map in pixels, D = radius ** 2.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from openseg_plugin.errors import ConfigError
from openseg_plugin.models.losses.base import LabelMapLoss
from openseg_plugin.registry import MODELS

POOLS = ('avg', 'max', 'interpolate')
PROBABILITY_FLOOR = 1e-6
_LOG_FLOOR = 1e-8


def binary_cross_entropy(logits: Tensor, onehot: Tensor, valid: Tensor) -> Tensor:
    """Sum over classes and labelled pixels, divided by their number plus one; a scalar.

    Args:
        logits: (N, K, H, W) scores before a sigmoid.
        onehot: (N, K, H, W), 0 where nothing is labelled.
        valid: (N, 1, H, W), 1 where the pixel is labelled, else 0.
    """
    losses = F.binary_cross_entropy_with_logits(logits, onehot, weight=valid, reduction='sum')
    return losses / (valid.sum() + 1)


def region_mutual_information(
    probabilities: Tensor,
    onehot: Tensor,
    *,
    radius: int = 3,
    pool: str = 'avg',
    pool_size: int = 4,
    pool_stride: int = 4,
    ridge: float = 5e-4,
) -> Tensor:
    """Half the log-determinant per class and dimension, summed over classes; a scalar.

    Args:
        probabilities: (N, K, H, W), slightly above 0 where nothing is labelled.
        onehot: (N, K, H, W), 0 where nothing is labelled.
        radius: side of the neighborhoods, in pixels of the pooled maps.
        pool: 'avg', 'max', or 'interpolate': labels nearest, probabilities bilinear, sides
            divided by ``pool_stride``.
        pool_size: side of the pooling window in pixels; padded by half of it with zeros.
        pool_stride: its step in pixels; 1: no pooling.
        ridge: added to the diagonals before inversion and determinant.
    """
    labels = _pooled(onehot, pool, pool_size, pool_stride, is_label=True)
    probabilities = _pooled(probabilities, pool, pool_size, pool_stride, is_label=False)
    y, p = (_neighborhoods(maps, radius).double() for maps in (labels, probabilities))
    eye = torch.eye(radius**2, dtype=y.dtype, device=y.device)
    cross_NKDD = y @ p.mT
    solved = torch.cholesky_solve(cross_NKDD.mT, _cholesky(p @ p.mT + ridge * eye))
    rest = y @ y.mT - cross_NKDD @ solved
    # rounding leaves a trace of asymmetry
    factor = _cholesky((rest + rest.mT) / 2 + ridge * eye)
    logs = (factor.diagonal(dim1=-2, dim2=-1) + _LOG_FLOOR).log().sum(-1)
    return logs.mean(0).sum() / radius**2


def _pooled(maps: Tensor, pool: str, size: int, stride: int, *, is_label: bool) -> Tensor:
    if stride == 1:
        return maps
    if pool == 'interpolate':
        target = (maps.shape[2] // stride, maps.shape[3] // stride)
        if is_label:
            return F.interpolate(maps, size=target, mode='nearest')
        return F.interpolate(maps, size=target, mode='bilinear', align_corners=True)
    function = F.avg_pool2d if pool == 'avg' else F.max_pool2d
    return function(maps, size, stride, padding=size // 2)


def _neighborhoods(maps: Tensor, radius: int) -> Tensor:
    """(N, K, h, w) -> (N, K, D, P): centered values at each place of each neighborhood."""
    windows = maps.unfold(2, radius, 1).unfold(3, radius, 1)  # (N, K, h', w', radius, radius)
    vectors = windows.flatten(4).flatten(2, 3).mT
    return vectors - vectors.mean(dim=3, keepdim=True)


def _cholesky(matrices: Tensor) -> Tensor:
    """Lower factors; the few matrices that rounding made indefinite get a larger diagonal."""
    factors, failed = torch.linalg.cholesky_ex(matrices)
    eye = torch.eye(matrices.shape[-1], dtype=matrices.dtype, device=matrices.device)
    scale = matrices.detach().diagonal(dim1=-2, dim2=-1).abs().mean(-1)[..., None, None] + 1e-3
    fraction = 1e-10
    while failed.any() and fraction < 1:
        added = torch.where((failed > 0)[..., None, None], fraction * scale, 0.0)
        matrices = matrices + added * eye
        factors, failed = torch.linalg.cholesky_ex(matrices)
        fraction *= 100
    return factors


def rmi_loss(
    logits: Tensor,
    labels: Tensor,
    *,
    base_weight: float = 0.5,
    rmi_weight: float = 0.5,
    ignore_index: int = 255,
    **options: Any,
) -> Tensor:
    """``base_weight`` * binary cross entropy + ``rmi_weight`` * RMI, a scalar; may be negative.

    Args:
        logits: (N, K, H, W) scores before a sigmoid.
        labels: (N, H, W) int64 class ids; ``ignore_index`` and whatever is no class is ignored.
        base_weight: factor of the cross entropy; 0 leaves it out.
        rmi_weight: factor of the mutual information; 0 leaves it out.
        ignore_index: label that takes no part.
        options: of :func:`region_mutual_information`.
    """
    with torch.autocast(logits.device.type, enabled=False):
        logits = logits if logits.dtype == torch.float64 else logits.float()
        classes = logits.shape[1]
        known = (labels != ignore_index) & (labels >= 0) & (labels < classes)
        onehot = F.one_hot(labels.where(known, classes), classes + 1)[..., :classes]
        onehot = onehot.permute(0, 3, 1, 2).to(logits.dtype)
        valid = known.unsqueeze(1).to(logits.dtype)
        total = logits.new_zeros(())
        if base_weight:
            total = total + base_weight * binary_cross_entropy(logits, onehot, valid)
        if rmi_weight:
            probabilities = logits.sigmoid() * valid + PROBABILITY_FLOOR
            rmi = region_mutual_information(probabilities, onehot, **options)
            total = total + rmi_weight * rmi.to(total.dtype)
        return total


@MODELS.register_module()
class RMILoss(LabelMapLoss):
    """Binary cross entropy per class and region mutual information; see the head of this module.

    Args:
        base_weight: factor of the cross entropy.
        rmi_weight: factor of the mutual information. 0: cross entropy alone, as NVIDIA's
            auxiliary losses (``do_rmi=False``).
        radius: side of the neighborhoods, in pixels of the pooled maps.
        pool: 'avg', 'max' or 'interpolate'.
        pool_size: side of the pooling window in pixels.
        pool_stride: its step in pixels.
        ridge: added to the diagonals before inversion and determinant.
        loss_name: key in the log; must begin with "loss" to be minimized.
        base: ``loss_weight``, see :class:`LabelMapLoss`.

    Raises:
        ConfigError: unknown ``pool``.
    """

    def __init__(
        self,
        base_weight: float = 0.5,
        rmi_weight: float = 0.5,
        *,
        radius: int = 3,
        pool: str = 'avg',
        pool_size: int = 4,
        pool_stride: int = 4,
        ridge: float = 5e-4,
        loss_name: str = 'loss_rmi',
        **base: Any,
    ) -> None:
        super().__init__(loss_name=loss_name, **base)
        if pool not in POOLS:
            raise ConfigError(f'RMILoss got pool={pool!r}, but knows {POOLS}.')
        self.base_weight = base_weight
        self.rmi_weight = rmi_weight
        self.options: dict[str, Any] = dict(
            radius=radius, pool=pool, pool_size=pool_size, pool_stride=pool_stride, ridge=ridge
        )

    def value(self, logits: Tensor, labels: Tensor, **options: Any) -> Tensor:
        """See :class:`LabelMapLoss`."""
        return rmi_loss(
            logits,
            labels,
            base_weight=self.base_weight,
            rmi_weight=self.rmi_weight,
            **options,
            **self.options,
        )
