"""Poly learning rate that changes once per epoch, in a training that counts steps.

Source of the rules: NVIDIA/semantic-segmentation (commit 7726b14), ``poly`` and ``poly2``.
"""

from typing import Any

from openseg_plugin.engine.optim import PolyLR
from openseg_plugin.errors import ConfigError
from openseg_plugin.registry import PARAM_SCHEDULERS


@PARAM_SCHEDULERS.register_module()
class EpochPolyLR(PolyLR):
    """lr(epoch) = eta_min + (lr - eta_min) * (1 - epoch / epochs) ** power.

    Args:
        args: of :class:`PolyLR`.
        steps_per_epoch: steps during which the rate stays.
        double_from: epoch from which on twice the power counts (``poly2``: 110). None: never.
        kwargs: of :class:`PolyLR`.

    Raises:
        ConfigError: ``steps_per_epoch`` is not positive, or ``by_epoch`` is asked for.
    """

    def __init__(
        self,
        *args: Any,
        steps_per_epoch: int,
        double_from: int | None = None,
        **kwargs: Any,
    ) -> None:
        if steps_per_epoch < 1 or kwargs.get('by_epoch', False):
            raise ConfigError(
                f'EpochPolyLR got steps_per_epoch={steps_per_epoch}, by_epoch='
                f'{kwargs.get("by_epoch", False)}: it needs 1 or more and by_epoch=False.'
            )
        # before the base class, which asks for the first value
        self.steps_per_epoch = steps_per_epoch
        self.double_from = double_from
        super().__init__(*args, **{**kwargs, 'by_epoch': False})

    def load_state_dict(self, state_dict: dict) -> None:
        """Takes the step from a checkpoint; the shape of the curve stays that of the config."""
        shape = {name: getattr(self, name) for name in ('steps_per_epoch', 'double_from')}
        super().load_state_dict({**state_dict, **shape})

    def _get_value(self) -> list[float]:
        epoch = (self.last_step - self.begin) // self.steps_per_epoch
        epochs = (self.end - self.begin) / self.steps_per_epoch
        is_doubled = self.double_from is not None and epoch >= self.double_from
        left = max(0.0, 1 - epoch / epochs) ** (self.power * (1 + is_doubled))
        return [self.eta_min + (base - self.eta_min) * left for base in self.base_values]
