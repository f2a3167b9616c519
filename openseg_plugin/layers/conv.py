"""Convolution + normalization + activation, with a convolution bias where the source has one; and
BatchNorm folded into the convolution before it: the same function, fewer passes over the maps.

Convolution of stride 2 that pads like TensorFlow's "SAME": as little as possible, at the end.

With kernel 3 and stride 2 an even side gets 0 pixels before and 1 behind it, an odd side 1 and 1.
An ordinary convolution pads 1 and 1 always, so for even sides its windows lie one pixel further up
and left. PaddleSeg's HRNet was trained with the former.

Legend: N batch, C channels, (H, W) size of the map in pixels.
"""

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from mmcv.cnn import ConvModule
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils.fusion import fuse_conv_bn_weights


def conv_norm_act(
    in_channels: int,
    out_channels: int,
    kernel_size: int,
    *,
    norm_cfg: dict | None,
    act_cfg: dict | None,
    bias: bool = False,
    dilation: int = 1,
) -> ConvModule:
    """A ConvModule that keeps the size of its input.

    openseg and HRNet-OCR put a bias on convolutions in front of a normalization. It is without
    effect on the output (the running mean absorbs it), yet published files hold it, and weight
    decay acts on it. mmcv's ConvModule warns about such a bias; here it is wanted.

    Args:
        in_channels: channels in.
        out_channels: channels out.
        kernel_size: odd.
        norm_cfg: normalization, as mmcv builds it; None for none (the convolution has a bias then).
        act_cfg: activation, as mmcv builds it; None for none.
        bias: give the convolution a bias although a normalization follows.
        dilation: distance of the kernel's taps, in pixels.
    """
    module = ConvModule(
        in_channels,
        out_channels,
        kernel_size,
        padding=dilation * (kernel_size // 2),
        dilation=dilation,
        norm_cfg=norm_cfg,
        act_cfg=act_cfg,
    )
    if bias and module.conv.bias is None:
        module.conv.bias = nn.Parameter(torch.zeros(out_channels))
    return module


class SameConv2d(nn.Conv2d):
    """Convolution without padding of its own: (N, C, H, W) -> (N, C', ceil(H/s), ceil(W/s))."""

    def forward(self, inputs: Tensor) -> Tensor:
        """The convolution of ``inputs`` padded with zeros."""
        return same_conv(self, inputs)


def same_conv(conv: nn.Conv2d, inputs: Tensor) -> Tensor:
    """The convolution of ``inputs`` padded with zeros, whatever padding ``conv`` names."""
    pads = []
    for axis in (3, 2):
        side, step = inputs.shape[axis], conv.stride[axis - 2]
        reach = conv.dilation[axis - 2] * (conv.kernel_size[axis - 2] - 1) + 1
        # (side - 1) // step is ceil(side / step) - 1, also where a target truncates quotients
        total = (side - 1) // step * step + reach - side
        if reach < step:  # otherwise never below 0, which a recorded graph need not ask
            total = 0 if reach == 1 else max(total, 0)
        pads += [total // 2, total - total // 2]
    padded = F.pad(inputs, pads)
    return F.conv2d(padded, conv.weight, conv.bias, conv.stride, 0, conv.dilation, conv.groups)


def fold_batch_norm(model: nn.Module) -> nn.Module:
    """Replace each pair of convolution and BatchNorm by one convolution, in place.

    Pairs are found where it is certain that the norm directly follows the convolution: in mmcv's
    ConvModule, in neighbors in ``nn.Sequential``, and in attributes ``convN`` and ``bnN`` of
    residual blocks and stems, registered in this order. Norms that do more than to normalize (those
    of timm with an activation inside) stay. In real arithmetic the outputs are unchanged. For
    inference only: the state dict changes, and statistics are no longer learned.

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
        if isinstance(conv, nn.Conv2d) and norm is not None and _only_normalizes(norm):
            yield conv_name, norm_name


def _only_normalizes(norm: nn.Module) -> bool:
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
