"""Backbones of which a part stands still in training, as mmseg's options ask for it."""

from collections.abc import Iterable

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from openseg_plugin.errors import ConfigError


class FreezingMixin(nn.Module):
    """Put before ``BaseModule`` in the list of bases; adds what ``train()`` leaves in eval mode.

    Attributes:
        norm_eval: whether the running statistics of every BatchNorm stand still.
    """

    norm_eval = False
    _frozen: tuple[nn.Module, ...] = ()

    def freeze(self, modules: Iterable[nn.Module]) -> None:
        """No gradient for the parameters of ``modules``, and evaluation mode from now on."""
        self._frozen = tuple(modules)
        for module in self._frozen:
            module.requires_grad_(False)

    def train(self, mode: bool = True) -> 'FreezingMixin':
        """As usual, but what is frozen stays in evaluation mode, with ``norm_eval`` all norms."""
        super().train(mode)
        if mode:
            for module in self._frozen:
                module.eval()
            if self.norm_eval:
                for module in self.modules():
                    if isinstance(module, _BatchNorm):
                        module.eval()
        return self


def require_stage(frozen_stages: int, last: int, name: str, *, first: int = 0) -> None:
    """Raises ConfigError unless this is -1 (nothing is frozen) or one of the stages."""
    if frozen_stages != -1 and not first <= frozen_stages <= last:
        raise ConfigError(
            f'{name} got frozen_stages={frozen_stages}, but can freeze {first} to {last} stages; '
            '-1 freezes nothing.'
        )
