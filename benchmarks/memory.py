"""Memory of attention over many pixels, beside mmseg's modules with the same weights.

- isa: mmseg's head. mmseg pads, cuts and joins the same windows.
- base_oc: attention between all pixels (OCNet) beside the block that mmseg has for ISA, applied to
  the whole map: it keeps a weight for each pair of pixels.
- danet: mmseg's position attention, which keeps the same; danet_queries: the form of pytorch-cv
  pytorch-cv, restated here (softmax over the queries).

All at stride 8 with 512 channels, as on a ResNet. Before the measurement each pair shows in
float64, on a map that nothing divides, that it is one function with one gradient. On Linux the peak
of a training iteration holds freed blocks that glibc keeps for later;
MALLOC_MMAP_THRESHOLD_=1048576 in the environment makes it give them back at once.
"""

import copy
from collections.abc import Iterator
from functools import partial

import torch
from mmseg.models.decode_heads.da_head import PAM
from mmseg.models.decode_heads.isa_head import ISAHead as MMSegISAHead
from mmseg.models.decode_heads.isa_head import SelfAttentionBlock
from torch import Tensor, nn

from benchmarks.core import Case, Setting, kept_for_gradient, within, within_norm
from benchmarks.inputs import smooth
from openseg_plugin.layers.dual_attention import PositionAttention
from openseg_plugin.layers.pixel_attention import PixelAttention
from openseg_plugin.models.heads.isa_head import ISAHead

STRIDE = 8
CHANNELS = 512
KEY_CHANNELS = 256
PROOF_SIZE = (13, 21)  # odd, so that the windows need padding
PROOF_TOLERANCE = 1e-9  # float64
TOLERANCE = 1e-4  # float32
_NORM_ACT = dict(norm_cfg=dict(type='BN'), act_cfg=dict(type='ReLU'))


def cases(setting: Setting) -> Iterator[Case]:
    """Prediction: an image's features at stride 8. Training: half as large on both sides."""
    height, width = (-(-side // STRIDE) for side in setting.size)
    crop = (-(-height // 2), -(-width // 2))
    for method, build in _PAIRS.items():
        pair = [module.to(setting.device) for module in build()]
        yield _proof(method, pair, setting)
        feats = _features((height, width)).to(setting.device)
        ways = (partial(_forward, module, feats) for module in pair)
        yield Case(f'memory {method} predict', *ways, within(TOLERANCE))
        feats = _features(crop).to(setting.device)
        _print_kept(method, pair, feats)
        ways = (partial(_backward, module, feats) for module in pair)
        yield Case(f'memory {method} train', *ways, within_norm(TOLERANCE), needs_grad=True)


def _features(size: tuple[int, int]) -> Tensor:
    """About unit variance: larger scores saturate the softmax, which then amplifies rounding."""
    return smooth((1, CHANNELS, *size)) / 3


def _proof(method: str, pair: list[nn.Module], setting: Setting) -> Case:
    """Output and gradient in float64."""
    feats = _features(PROOF_SIZE).to(setting.device).double()

    def both(module: nn.Module) -> list[Tensor]:
        return [_forward(module, feats).detach(), _backward(module, feats)]

    ways = (partial(both, copy.deepcopy(module).double()) for module in pair)
    return Case(f'memory {method} float64', *ways, within(PROOF_TOLERANCE), needs_grad=True)


def _print_kept(method: str, pair: list[nn.Module], feats: Tensor) -> None:
    feats = feats.detach().requires_grad_()
    stock, ours = (kept_for_gradient(one, partial(one, feats)) / 2**20 for one in pair)
    print(f'memory {method}: kept for the gradient {stock:.0f} -> {ours:.0f} MB')


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


class _OverQueries(nn.Module):
    """Position attention with a softmax over the queries, all weights at once."""

    def __init__(self, ours: PositionAttention) -> None:
        super().__init__()
        self.ours = ours

    def forward(self, feats: Tensor) -> Tensor:
        projections = (self.ours.query_project, self.ours.key_project, self.ours.value_project)
        query, key, value = (project(feats).flatten(2) for project in projections)
        weights = torch.bmm(query.transpose(1, 2), key).softmax(dim=1)
        context = torch.bmm(value, weights.transpose(1, 2)).view_as(feats)
        return self.ours.gamma(context) + feats


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


def _position(normalize_over: str) -> tuple[nn.Module, nn.Module]:
    """The form that keeps all weights and ours, with equal weights."""
    torch.manual_seed(0)
    ours = PositionAttention(CHANNELS, CHANNELS // 8, normalize_over=normalize_over)
    nn.init.ones_(ours.gamma.scale)
    if normalize_over == 'queries':
        return _OverQueries(copy.deepcopy(ours)).eval(), ours.eval()
    theirs = PAM(CHANNELS, CHANNELS // 8)
    theirs.load_state_dict(ours.state_dict())
    return theirs.eval(), ours.eval()


_PAIRS = {
    'isa': _isa,
    'base_oc': _attention,
    'danet': partial(_position, 'keys'),
    'danet_queries': partial(_position, 'queries'),
}
