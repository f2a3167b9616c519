"""Optimiser groups, learning rate schedule and CPU mixed precision.

Source of the numbers: openseg.pytorch trains with two groups of parameters, decays every
parameter (normalisation and biases too) and follows lr * (1 - step / steps) ** 0.9.
"""

from contextlib import contextmanager

import torch
from mmengine.optim import OptimWrapper
from mmengine.optim import PolyLR as MMEnginePolyLR
from mmengine.registry import OPTIMIZERS
from torch import nn

from openseg_plugin.errors import ConfigError
from openseg_plugin.registry import OPTIM_WRAPPER_CONSTRUCTORS, OPTIM_WRAPPERS, PARAM_SCHEDULERS


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class BackboneAndRest:
    """Two groups: parameters of the backbone at lr, the rest at lr * rest_lr_mult.

    Of the backbone is what has ``backbone`` in its name, or begins with ``backbone_prefix``.

    mmengine's default constructor makes one group per parameter, which costs a kernel launch each.

    Args:
        optim_wrapper_cfg: ``type`` of the wrapper, ``optimizer`` and the wrapper's options.
        paramwise_cfg: ``rest_lr_mult``, a factor >= 0 (openseg's nbb_mult; default 1), and
            ``backbone_prefix``, begins of names (one or a list) where only a part of the backbone
            has weights to start from, such as 'backbone.context'.

    Raises:
        ConfigError: any other key in ``paramwise_cfg``, or a prefix that no parameter has.
    """

    def __init__(self, optim_wrapper_cfg: dict, paramwise_cfg: dict | None = None) -> None:
        self.wrapper_cfg = dict(optim_wrapper_cfg)
        self.optimizer_cfg = dict(self.wrapper_cfg.pop('optimizer'))
        paramwise = dict(paramwise_cfg or {})
        self.rest_lr_mult = paramwise.pop('rest_lr_mult', 1.0)
        prefixes = paramwise.pop('backbone_prefix', ())
        self.prefixes = (prefixes,) if isinstance(prefixes, str) else tuple(prefixes)
        if paramwise:
            raise ConfigError(
                f'optim_wrapper.paramwise_cfg holds {", ".join(sorted(paramwise))}, but '
                'openseg_plugin.BackboneAndRest knows only rest_lr_mult and backbone_prefix: set '
                "optim_wrapper.constructor='DefaultOptimWrapperConstructor' for mmengine's options"
            )

    def __call__(self, model: nn.Module) -> OptimWrapper:
        """Wrapped optimiser of the model's trainable parameters; empty groups are left out."""
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
                ('rest', rest, self.rest_lr_mult),
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
    """lr(step) = eta_min + (lr - eta_min) * (1 - (step - begin) / (end - begin)) ** power.

    mmengine's reaches ``eta_min`` one step early, at the last step; this one after it, as the
    original code bases do. Computed in closed form, so nothing accumulates. ``end`` defaults to
    the length of the training.
    """

    def load_state_dict(self, state_dict: dict) -> None:
        """Takes the step from a checkpoint; the shape of the curve stays that of the config.

        So a run that is resumed with another ``max_iters`` follows the curve of that length.
        """
        shape = {name: getattr(self, name) for name in ('begin', 'end', 'eta_min', 'power')}
        super().load_state_dict({**state_dict, **shape})

    def _get_value(self) -> list[float]:
        left = max(0.0, 1 - self.last_step / (self.end - self.begin))
        return [
            self.eta_min + (base - self.eta_min) * left**self.power for base in self.base_values
        ]


@OPTIM_WRAPPERS.register_module()
class CPUAmpOptimWrapper(OptimWrapper):
    """Mixed precision on a CPU: bfloat16 autocast, no loss scaling (bfloat16 needs none).

    mmengine's ``AmpOptimWrapper`` refuses to run without a GPU.
    """

    @contextmanager
    def optim_context(self, model: nn.Module):
        """Forward and loss under autocast."""
        with super().optim_context(model), torch.autocast('cpu', dtype=torch.bfloat16):
            yield
