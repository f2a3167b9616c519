"""Fold BatchNorm into the convolution before it: the same function, fewer passes over the maps."""

from collections.abc import Iterator

from mmcv.cnn import ConvModule
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils.fusion import fuse_conv_bn_weights


def fold_batch_norm(model: nn.Module) -> nn.Module:
    """Replace each pair of convolution and BatchNorm by one convolution, in place.

    Pairs are found where it is certain that the norm directly follows the convolution: in mmcv's
    ConvModule, in neighbours in ``nn.Sequential``, and in attributes ``convN`` and ``bnN`` of
    residual blocks and stems, registered in this order. Norms that do more than to normalise (those
    of timm with an activation inside) stay. In real arithmetic the outputs are unchanged. For
    inference only: the state dict changes, and statistics are no longer learnt.

    Args:
        model: in evaluation mode.

    Returns:
        ``model`` itself.

    Raises:
        ValueError: ``model`` is in training mode.
    """
    if any(module.training for module in model.modules()):
        raise ValueError('fold_batch_norm got a model in training mode: call model.eval() first.')
    for parent in list(model.modules()):
        for conv_name, norm_name in list(_pairs(parent)):
            _fold(getattr(parent, conv_name), getattr(parent, norm_name))
            setattr(parent, norm_name, nn.Identity())
    return model


def _pairs(parent: nn.Module) -> Iterator[tuple[str, str]]:
    """Names of the convolutions and the norms that directly follow them among the children."""
    children = dict(parent.named_children())
    if isinstance(parent, ConvModule):
        follows = parent.norm_name and parent.order[:2] == ('conv', 'norm')
        candidates = [('conv', parent.norm_name)] if follows else []
    elif isinstance(parent, nn.Sequential):
        candidates = list(zip(children, list(children)[1:]))
    else:
        candidates = [
            (name, following)
            for name, following in zip(children, list(children)[1:])
            if name.startswith('conv') and following == f'bn{name[4:]}'
        ]
    for conv_name, norm_name in candidates:
        conv, norm = children.get(conv_name), children.get(norm_name)
        if isinstance(conv, nn.Conv2d) and norm is not None and _only_normalises(norm):
            yield conv_name, norm_name


def _only_normalises(norm: nn.Module) -> bool:
    plain = type(norm).forward in (_BatchNorm.forward, nn.SyncBatchNorm.forward)
    return isinstance(norm, _BatchNorm) and plain and norm.track_running_stats


def _fold(conv: nn.Conv2d, norm: _BatchNorm) -> None:
    assert norm.running_mean is not None and norm.running_var is not None, 'statistics are kept'
    conv.weight, conv.bias = fuse_conv_bn_weights(
        conv.weight,
        conv.bias,
        norm.running_mean,
        norm.running_var,
        norm.eps,
        norm.weight,
        norm.bias,
    )
