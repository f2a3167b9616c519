"""Memory of attention over many pixels, beside mmseg's modules with the same weights.

ISA against mmseg's; attention between all pixels (OCNet) against the block that mmseg has for ISA,
applied to the whole map: it keeps a weight for each pair of pixels. Both at stride 8 with 512
channels, as on a ResNet.
"""

from collections.abc import Iterator
from functools import partial

import torch
from mmseg.models.decode_heads.isa_head import ISAHead as MMSegISAHead
from mmseg.models.decode_heads.isa_head import SelfAttentionBlock
from torch import Tensor, nn

from openseg_plugin.benchmark.core import Case, Setting, within
from openseg_plugin.benchmark.inputs import smooth
from openseg_plugin.layers.pixel_attention import PixelAttention
from openseg_plugin.models.decode_heads.isa_head import ISAHead

STRIDE = 8
CHANNELS = 512
KEY_CHANNELS = 256
TOLERANCE = 5e-3  # float32; with random weights ISA amplifies rounding as much
_NORM_ACT = dict(norm_cfg=dict(type='BN'), act_cfg=dict(type='ReLU'))


def cases(setting: Setting) -> Iterator[Case]:
    """Prediction: a picture's features at stride 8. Training: half as large on both sides."""
    height, width = (-(-side // STRIDE) for side in setting.size)
    isa, attention = _isa(), _attention()
    for name, step, size in (
        ('predict', _forward, (height, width)),
        ('train', _backward, (-(-height // 2), -(-width // 2))),
    ):
        feats = smooth((1, CHANNELS, *size)).to(setting.device)
        for method, pair in (('isa', isa), ('base_oc', attention)):
            stock, ours = (module.to(setting.device) for module in pair)
            yield Case(
                f'memory {method} {name}',
                partial(step, stock, feats),
                partial(step, ours, feats),
                within(TOLERANCE),
                needs_grad=name == 'train',
            )


def _forward(module: nn.Module, feats: Tensor) -> Tensor:
    return module(feats)


def _backward(module: nn.Module, feats: Tensor) -> Tensor:
    """Gradient of the sum of squares with respect to the features."""
    feats = feats.detach().requires_grad_()
    module(feats).square().mean().backward()
    module.zero_grad()
    return feats.grad


class _OnFeatures(nn.Module):
    """A head's logits from one feature map, without its 3x3 convolution."""

    def __init__(self, head: nn.Module) -> None:
        super().__init__()
        head.in_conv = nn.Identity()
        self.head = head

    def forward(self, feats: Tensor) -> Tensor:
        return self.head([feats])


def _isa() -> tuple[nn.Module, nn.Module]:
    """mmseg's head and ours with equal weights."""
    common = dict(
        in_channels=CHANNELS, channels=CHANNELS, num_classes=19, in_index=0, align_corners=False
    )
    torch.manual_seed(0)
    ours = ISAHead(
        **common, key_channels=KEY_CHANNELS, value_bias=True, is_context_first=True, **_NORM_ACT
    )
    theirs = MMSegISAHead(
        **common, isa_channels=KEY_CHANNELS, down_factor=(8, 8), loss_decode=[], **_NORM_ACT
    )
    weights = {
        name.removeprefix('relations.0.'): value for name, value in ours.state_dict().items()
    }
    theirs.load_state_dict(weights)
    return _OnFeatures(theirs).eval(), _OnFeatures(ours).eval()


def _attention() -> tuple[nn.Module, nn.Module]:
    """mmseg's block and ours with equal weights."""
    torch.manual_seed(0)
    ours = PixelAttention(
        CHANNELS, KEY_CHANNELS, value_channels=CHANNELS, with_output_norm=True, **_NORM_ACT
    )
    theirs = SelfAttentionBlock(CHANNELS, KEY_CHANNELS, None, **_NORM_ACT)
    theirs.load_state_dict(ours.state_dict())
    return theirs.eval(), ours.eval()
