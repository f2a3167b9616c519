"""A model made ready to predict fast: the same function, other roundings.

What the tools do with every model that only predicts (``test``, ``predict``, offsets of SegFix):

* BatchNorm is folded into the convolution before it;
* convolutions and maps are in channels-last memory;
* on a CPU, maps of coarse branches are joined after the convolution that reads them, where that is
  less work (:mod:`openseg_plugin.layers.resize`).

In float32 that changes logits by about 1e-6 of their size: labels of a trained model stay the same
in 99.999 % of the pixels. ``exact`` leaves the model alone, bit for bit. On request the network
computes in half precision, or compiled. A model in training is never touched.
"""

import functools
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from mmengine.structures import PixelData
from mmseg.models.segmentors import SegTTAModel
from mmseg.models.segmentors.base import BaseSegmentor
from torch import Tensor, nn

from openseg_plugin.errors import ConfigError
from openseg_plugin.layers.conv import fold_batch_norm

PRECISIONS = {'fp32': torch.float32, 'bf16': torch.bfloat16, 'fp16': torch.float16}
_NETWORK = ('backbone', 'neck', 'decode_head', 'scale_attention')
_LEAST = 1e-7  # distance of a probability to 0 and 1, so that logits are finite
# methods of segmentors that give scores; what follows them computes in float32
_SCORES = ('decode', 'encode_decode', 'outputs')


@dataclass(frozen=True)
class Preparation:
    """How a model predicts.

    Attributes:
        exact: as it was trained, operation by operation.
        precision: what the network computes in: 'fp32', 'bf16' or 'fp16'.
        compiled: by torch.compile, once for every size of image; takes minutes.
    """

    exact: bool = False
    precision: str = 'fp32'
    compiled: bool = False

    def check(self, device: torch.device) -> None:
        """Makes sure that ``device`` can do it, before anything is computed.

        Raises:
            ConfigError: it cannot, or options exclude each other.
        """
        if self.precision not in PRECISIONS:
            raise ConfigError(
                f'--precision {self.precision}: choose one of {", ".join(PRECISIONS)}'
            )
        if self.exact and (self.precision != 'fp32' or self.compiled):
            raise ConfigError(
                '--exact keeps every rounding, but --precision and --compile change it: leave '
                'one out'
            )
        if not _has(device, self.precision):
            raise ConfigError(
                f'--precision {self.precision}: this {device.type} has no instructions for it; '
                'leave it out'
            )
        if self.compiled:
            check_compiler(device)


def prepare(model: nn.Module, how: Preparation | None = None) -> nn.Module:
    """Changes a model that will only predict from now on, in place.

    Args:
        model: a segmentor, also wrapped (test-time augmentation, several processes), with its
            weights on its device.
        how: None: the default.

    Returns:
        ``model`` itself, in evaluation mode.

    Raises:
        ConfigError: its device cannot do what is asked.
    """
    how = how or Preparation()
    first = next(model.parameters(), None)
    if first is None:  # an exported file, which is prepared already
        if how.precision != 'fp32' or how.compiled:
            raise ConfigError(
                'an exported file computes as it was exported: leave --precision and --compile '
                'out, or give --precision to openseg export'
            )
        return model.eval()
    device = first.device
    how.check(device)
    model.eval()
    segmentor = innermost(model)
    if not isinstance(model, SegTTAModel):  # mmseg's merges what its segmentors store
        _store_logits(segmentor)
    if how.exact:
        return model
    parts = [getattr(segmentor, name) for name in _NETWORK if _is_module(segmentor, name)]
    for part in parts:
        # torch's types do not have this form of ``to``, which its documentation has
        fold_batch_norm(part).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        part.requires_grad_(False)
        for module in part.modules():
            # on a GPU, where products are cheap and passes over maps are not, nobody measured it
            if device.type == 'cpu' and hasattr(type(module), 'joins_late'):
                module.joins_late = True
    if how.precision != 'fp32':
        _compute_in(segmentor, parts, PRECISIONS[how.precision])
    if how.compiled:
        compile_network(segmentor)
    return model


def innermost(model: nn.Module) -> Any:
    """The segmentor inside of wrappers."""
    while isinstance(inner := getattr(model, 'module', None), nn.Module):
        model = inner
    return model


def _store_logits(segmentor: Any) -> None:
    """mmseg's own one-channel models store probabilities as ``seg_logits``: logits from now on.

    So does everybody who reads them mean the same, and no sigmoid is applied twice.
    """
    if getattr(type(segmentor), 'postprocess_result', None) is not BaseSegmentor.postprocess_result:
        return
    if getattr(segmentor, 'out_channels', None) != 1:
        return
    postprocess = segmentor.postprocess_result

    def with_logits(*arguments: Any, **options: Any) -> Any:
        samples = postprocess(*arguments, **options)
        for sample in samples:
            probability = sample.seg_logits.data
            sample.seg_logits = PixelData(data=probability.logit(eps=_LEAST))
        return samples

    segmentor.postprocess_result = with_logits


def _is_module(parent: nn.Module, name: str) -> bool:
    return isinstance(getattr(parent, name, None), nn.Module)


def _has(device: torch.device, precision: str) -> bool:
    """Whether a device computes in this precision faster than in float32."""
    if precision == 'fp32' or (device.type == 'cuda' and precision == 'fp16'):
        return True
    if device.type == 'cuda':
        return torch.cuda.get_device_capability(device) >= (8, 0)
    if device.type != 'cpu':
        return False
    known = getattr(torch.ops.mkldnn, f'_is_mkldnn_{precision}_supported', None)
    return bool(torch.backends.mkldnn.is_available() and known is not None and known())


def _compute_in(segmentor: Any, parts: list[nn.Module], dtype: torch.dtype) -> None:
    """Weights and maps of the network in ``dtype``; images and scores stay as they are."""
    for part in parts:
        part.to(dtype)

    def cast(_: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return tuple(one.to(dtype) for one in inputs)

    segmentor.backbone.register_forward_pre_hook(cast)
    for name in _SCORES:
        if callable(method := getattr(segmentor, name, None)):
            setattr(segmentor, name, _in_float32(method))


def _in_float32(method: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(method)
    def scores(*arguments: Any, **options: Any) -> Any:
        found = method(*arguments, **options)
        if isinstance(found, Tensor):
            return found.float()
        return tuple(one.float() for one in found)

    return scores


def compile_network(segmentor: Any, *, mode: str = 'default') -> None:
    """Backbone and head are compiled when they first run; the result is kept between runs.

    Args:
        segmentor: its parts are changed in place, names and weights stay.
        mode: of ``torch.compile``; 'reduce-overhead' replays CUDA graphs.
    """
    cache = Path(os.environ.get('OPENSEG_CACHE') or Path.home() / '.cache' / 'openseg_plugin')
    os.environ.setdefault('TORCHINDUCTOR_CACHE_DIR', str(cache / 'compiled'))
    for part in (segmentor.backbone, segmentor.decode_head):
        part.compile(dynamic=False, mode=mode)


def check_compiler(device: torch.device) -> None:
    """Makes sure that ``--compile`` works on ``device``.

    Raises:
        ConfigError: it has no compiler.
    """
    if device.type == 'cpu' and _compiler() is None:
        raise ConfigError(
            '--compile needs a C++ compiler (g++ or clang++) on a CPU: install one, or leave it out'
        )


def _compiler() -> str | None:
    return next((found for name in _compilers() if (found := shutil.which(name))), None)


def _compilers() -> Iterator[str]:
    if named := os.environ.get('CXX'):
        yield named
    yield from ('g++', 'clang++', 'c++')
