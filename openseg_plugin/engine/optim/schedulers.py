"""Optimizer groups, learning rate schedule and CPU mixed precision.

Source of the numbers: openseg.pytorch trains with two groups of parameters, decays every
parameter (normalization and biases too) and follows lr * (1 - iteration / iterations) ** 0.9.

Poly learning rate that changes once per epoch, in a training that counts iterations.

Source of the rules: NVIDIA/semantic-segmentation (commit 7726b14), ``poly`` and ``poly2``.

Poly learning rate with a linear warm-up, as GluonCV and pytorch-cv schedule it.
"""

from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from mmengine.optim import OptimWrapper
from mmengine.optim import PolyLR as MMEnginePolyLR
from mmengine.registry import OPTIMIZERS
from torch import nn
from torch.optim import Optimizer

from openseg_plugin.errors import ConfigError
from openseg_plugin.registry import OPTIM_WRAPPER_CONSTRUCTORS, OPTIM_WRAPPERS, PARAM_SCHEDULERS


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class BackboneHeadConstructor:
    """Two groups: parameters of the backbone at lr, the rest at lr * head_lr_mult.

    Of the backbone is what has ``backbone`` in its name, or begins with ``backbone_prefix``.

    mmengine's default constructor makes one group per parameter, which costs a kernel launch each.

    Args:
        optim_wrapper_cfg: ``type`` of the wrapper, ``optimizer`` and the wrapper's options.
        paramwise_cfg: ``head_lr_mult``, a factor >= 0 (openseg's nbb_mult; default 1), and
            ``backbone_prefix``, begins of names (one or a list) where only a part of the backbone
            has weights to start from, such as 'backbone.context'.

    Raises:
        ConfigError: any other key in ``paramwise_cfg``, or a prefix that no parameter has.
    """

    def __init__(self, optim_wrapper_cfg: dict, paramwise_cfg: dict | None = None) -> None:
        self.wrapper_cfg = dict(optim_wrapper_cfg)
        self.optimizer_cfg = dict(self.wrapper_cfg.pop('optimizer'))
        paramwise = dict(paramwise_cfg or {})
        self.head_lr_mult = paramwise.pop('head_lr_mult', 1.0)
        prefixes = paramwise.pop('backbone_prefix', ())
        self.prefixes = (prefixes,) if isinstance(prefixes, str) else tuple(prefixes)
        if paramwise:
            raise ConfigError(
                f'optim_wrapper.paramwise_cfg holds {", ".join(sorted(paramwise))}, but '
                'BackboneHeadConstructor knows only head_lr_mult and backbone_prefix: set '
                "optim_wrapper.constructor='DefaultOptimWrapperConstructor' for mmengine's options"
            )

    def __call__(self, model: nn.Module) -> OptimWrapper:
        """Wrapped optimizer of the model's trainable parameters; empty groups are left out."""
        model = getattr(model, 'module', model)
        self._check_prefixes(model)
        named = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
        backbone = [p for name, p in named if self._is_backbone(name)]
        rest = [p for name, p in named if not self._is_backbone(name)]
        lr = self.optimizer_cfg['lr']
        groups = [
            dict(params=params, lr=lr * factor, name=name)
            for name, params, factor in (
                ('backbone', backbone, 1.0),
                ('rest', rest, self.head_lr_mult),
            )
            if params
        ]
        optimizer = OPTIMIZERS.build(dict(self.optimizer_cfg, params=groups))
        cfg = dict(self.wrapper_cfg)
        cfg.setdefault('type', 'OptimWrapper')
        return OPTIM_WRAPPERS.build(cfg, default_args=dict(optimizer=optimizer))

    def _is_backbone(self, name: str) -> bool:
        if not self.prefixes:
            return 'backbone' in name
        return any(f'{name}.'.startswith(f'{prefix}.') for prefix in self.prefixes)

    def _check_prefixes(self, model: nn.Module) -> None:
        names = [f'{name}.' for name, _ in model.named_parameters()]
        for prefix in self.prefixes:
            if not any(name.startswith(f'{prefix}.') for name in names):
                raise ConfigError(
                    f'optim_wrapper.paramwise_cfg.backbone_prefix is {prefix}, but no parameter of '
                    'the model is called so: give the name of one of its modules, such as backbone'
                )


@PARAM_SCHEDULERS.register_module()
class PolyLR(MMEnginePolyLR):
    """lr(t) = eta_min + (lr - eta_min) * (1 - (t - begin) / (end - begin)) ** power, t iterations.

    mmengine's reaches ``eta_min`` one iteration early, in the last; this one after it, as the
    original code bases do. Computed in closed form, so nothing accumulates. ``end`` defaults to
    the length of the training.
    """

    def load_state_dict(self, state_dict: dict) -> None:
        """Takes the iteration from a checkpoint; the shape of the curve stays that of the config.

        So a run that is resumed with another ``max_iters`` follows the curve of that length.
        """
        shape = {name: getattr(self, name) for name in ('begin', 'end', 'eta_min', 'power')}
        super().load_state_dict({**state_dict, **shape})

    def _get_value(self) -> list[float]:
        left = max(0.0, 1 - self.last_step / (self.end - self.begin))
        return [
            self.eta_min + (base - self.eta_min) * left**self.power for base in self.base_values
        ]


def computes_bfloat16() -> bool:
    """Whether the device of a training multiplies bfloat16 by instructions of its own.

    GPUs from compute capability 8.0 do, and CPUs with AVX512_BF16, AMX or ARM's extension.
    """
    if torch.cuda.is_available():
        return torch.cuda.get_device_capability() >= (8, 0)
    try:
        flags = Path('/proc/cpuinfo').read_text(encoding='ascii', errors='replace').split()
    except OSError:
        return False
    return not {'avx512_bf16', 'amx_bf16', 'bf16'}.isdisjoint(flags)


@OPTIM_WRAPPERS.register_module()
class BFloat16OptimWrapper(OptimWrapper):
    """Mixed precision: bfloat16 autocast, no loss scaling (bfloat16 needs none).

    mmengine's ``AmpOptimWrapper`` refuses to run without a GPU, and scales whatever the type, for
    which a GPU waits in every iteration.
    """

    @contextmanager
    def optim_context(self, model: nn.Module):
        """Forward and loss under autocast."""
        device = next(model.parameters()).device.type
        with super().optim_context(model), torch.autocast(device, dtype=torch.bfloat16):
            yield


@PARAM_SCHEDULERS.register_module()
class EpochPolyLR(PolyLR):
    """lr(epoch) = eta_min + (lr - eta_min) * (1 - epoch / epochs) ** power.

    Args:
        args: of :class:`PolyLR`.
        epochs: of the whole training; the rate stays for ``(end - begin) // epochs`` iterations.
        steps_per_epoch: these iterations themselves, instead of ``epochs``.
        double_from: epoch from which on twice the power counts (``poly2``: 110). None: never.
        kwargs: of :class:`PolyLR`.

    Raises:
        ConfigError: not one of ``epochs`` and ``steps_per_epoch``, which is positive, or
            ``by_epoch`` is asked for.
    """

    def __init__(
        self,
        *args: Any,
        epochs: int | None = None,
        steps_per_epoch: int | None = None,
        double_from: int | None = None,
        **kwargs: Any,
    ) -> None:
        given = [number for number in (epochs, steps_per_epoch) if number is not None]
        if len(given) != 1 or given[0] < 1 or kwargs.get('by_epoch', False):
            raise ConfigError(
                f'EpochPolyLR got epochs={epochs}, steps_per_epoch={steps_per_epoch}, by_epoch='
                f'{kwargs.get("by_epoch", False)}: it needs one of the first two, 1 or more, and '
                'by_epoch=False'
            )
        # before the base class, which asks for the first value
        self._epochs = epochs
        self.steps_per_epoch = steps_per_epoch
        self.double_from = double_from
        super().__init__(*args, **{**kwargs, 'by_epoch': False})

    def load_state_dict(self, state_dict: dict) -> None:
        """Takes the iteration from a checkpoint; the curve stays that of the config."""
        shape = {name: getattr(self, name) for name in ('steps_per_epoch', 'double_from')}
        super().load_state_dict({**state_dict, **shape})

    def _get_value(self) -> list[float]:
        if self.steps_per_epoch is None:
            self.steps_per_epoch = max(1, (self.end - self.begin) // self._epochs)
        epoch = (self.last_step - self.begin) // self.steps_per_epoch
        epochs = (self.end - self.begin) / self.steps_per_epoch
        is_doubled = self.double_from is not None and epoch >= self.double_from
        left = max(0.0, 1 - epoch / epochs) ** (self.power * (1 + is_doubled))
        return [self.eta_min + (base - self.eta_min) * left for base in self.base_values]


@PARAM_SCHEDULERS.register_module()
class WarmupPolyLR(PolyLR):
    """lr of iteration t = 1, 2, ..., T, with w warm-up iterations and warm-up factor f.

    ======  =======================================================================
    t <= w  lr * (f * (1 - t / w) + t / w)
    t > w   eta_min + (lr - eta_min) * (1 - (t - w) / (T - w)) ** power
    ======  =======================================================================

    pytorch-cv moves its schedule on *before* each iteration, so the first is t = 1, and the last
    one has the learning rate ``eta_min``.

    Args:
        optimizer: what is scheduled.
        warmup_iters: w.
        warmup_factor: f, 0 to 1. pytorch-cv's default is 1/3, its published networks had 0.01.
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
