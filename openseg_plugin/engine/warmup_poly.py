"""Poly learning rate with a linear warm-up, as GluonCV and the zoo pytorch-cv schedule it."""

from torch.optim import Optimizer

from openseg_plugin.engine.optim import PolyLR
from openseg_plugin.registry import PARAM_SCHEDULERS


@PARAM_SCHEDULERS.register_module()
class WarmupPolyLR(PolyLR):
    """lr of step t = 1, 2, ..., T, with w warm-up steps and warm-up factor f.

    ======  =======================================================================
    t <= w  lr * (f * (1 - t / w) + t / w)
    t > w   eta_min + (lr - eta_min) * (1 - (t - w) / (T - w)) ** power
    ======  =======================================================================

    The zoo moves its schedule on *before* each step, so the first step is t = 1, and the last one
    has the learning rate ``eta_min``.

    Args:
        optimizer: what is scheduled.
        warmup_iters: w.
        warmup_factor: f, 0 to 1. The zoo's default is 1/3, its published networks had 0.01.
        others: arguments of mmengine's ``PolyLR`` (``power``, ``eta_min``, ``begin``, ``end``,
            ``by_epoch``, ...); ``end`` defaults to the length of the training.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        *,
        warmup_iters: int = 200,
        warmup_factor: float = 1 / 3,
        **others: object,
    ) -> None:
        self.warmup_iters = warmup_iters
        self.warmup_factor = warmup_factor
        super().__init__(optimizer, **others)

    def load_state_dict(self, state_dict: dict) -> None:
        """As :class:`PolyLR`: the shape of the curve, warm-up included, is that of the config."""
        names = ('warmup_iters', 'warmup_factor')
        super().load_state_dict({**state_dict, **{name: getattr(self, name) for name in names}})

    def _get_value(self) -> list[float]:
        step = self.last_step + 1
        if step <= self.warmup_iters:
            progress = step / self.warmup_iters
            factor = self.warmup_factor * (1 - progress) + progress
            return [base * factor for base in self.base_values]
        left = 1 - (step - self.warmup_iters) / (self.end - self.begin - self.warmup_iters)
        return [
            self.eta_min + (base - self.eta_min) * max(0.0, left) ** self.power
            for base in self.base_values
        ]
