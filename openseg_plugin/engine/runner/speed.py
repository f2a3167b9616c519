"""What makes a training fast beside model and data: memory format, log, text of the config.

* Convolutions run in channels-last memory where that is faster: on a CPU, and on a GPU in mixed
  precision or where it may use TF32. Results differ by rounding.
* The values of the log stay on the device until the log is written: fetching each of them in every
  iteration makes a GPU wait.
* The config is logged and dumped without yapf, which takes about a second for a long one.
* On request backbone and head are compiled, each by itself.
"""

from typing import Any

import torch
from mmengine.config import Config
from mmengine.hooks import Hook, LoggerHook
from mmengine.hooks import RuntimeInfoHook as MMEngineRuntimeInfoHook
from mmengine.optim import AmpOptimWrapper
from torch import Tensor, nn

from openseg_plugin.config.queries import is_a
from openseg_plugin.engine.optim.schedulers import BFloat16OptimWrapper
from openseg_plugin.engine.runner import COMPILE_MODES
from openseg_plugin.errors import ConfigError
from openseg_plugin.models.prepared import check_compiler, compile_network, innermost
from openseg_plugin.registry import HOOKS, OPTIM_WRAPPERS

MEMORY_FORMATS = ('auto', 'channels_last', 'contiguous')
_MOST_KEPT = 100  # iterations whose values may stay on the device


def in_fast_memory_format(model: nn.Module, cfg: Config) -> nn.Module:
    """The model in the memory format that the key ``memory_format`` of the config chooses.

    'channels_last', 'contiguous', or 'auto' (default): as the head of this module says. Goes before
    the model is wrapped for several processes: buckets of gradients take the strides of weights.
    """
    if cfg.get('train_cfg') is None or not wants_channels_last(cfg):
        return model
    return model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # of stubs


def wants_channels_last(cfg: Config) -> bool:
    """Whether a training of this config runs in channels-last memory on this machine.

    Raises:
        ConfigError: ``memory_format`` is unknown.
    """
    wanted = cfg.get('memory_format', 'auto')
    if wanted not in MEMORY_FORMATS:
        raise ConfigError(f'memory_format is {wanted!r}: it must be one of {MEMORY_FORMATS}')
    if wanted != 'auto':
        return wanted == 'channels_last'
    if not torch.cuda.is_available():
        return torch.backends.mkldnn.is_available()
    wrapper = cfg.get('optim_wrapper') or {}
    is_mixed = is_a(wrapper, OPTIM_WRAPPERS, AmpOptimWrapper, BFloat16OptimWrapper)
    return is_mixed or torch.backends.cudnn.allow_tf32


@HOOKS.register_module()
class RuntimeInfoHook(MMEngineRuntimeInfoHook):
    """mmengine's hook, which fetches losses and metrics from the device when the log is written.

    They are also fetched before a validation, before a checkpoint and at the end.
    """

    def __init__(self) -> None:
        super().__init__()
        self._kept: list[dict[str, Any]] = []
        self._interval = 1

    def before_train(self, runner) -> None:
        """As mmengine's; learns how often the log is written."""
        super().before_train(runner)
        intervals = [hook.interval for hook in runner.hooks if isinstance(hook, LoggerHook)]
        self._interval = min([_MOST_KEPT, *intervals])

    def after_train_iter(
        self,
        runner,
        batch_idx: int,
        data_batch: dict | None = None,
        outputs: dict | None = None,
    ) -> None:
        """Keeps what the iteration gave; writes it down when the log is due."""
        values = dict(outputs or {})
        for name, value in values.items():
            if isinstance(value, Tensor):
                values[name] = value.detach()
        self._kept.append(values)
        # the log is written at its interval, and at the end of every pass over the data
        is_due = self.end_of_epoch(runner.train_dataloader, batch_idx)
        if is_due or (batch_idx + 1) % self._interval == 0 or batch_idx + 1 == runner.max_iters:
            self.write_down(runner)

    def before_val(self, runner) -> None:
        """As mmengine's."""
        self.write_down(runner)
        super().before_val(runner)

    def after_train(self, runner) -> None:
        """As mmengine's."""
        self.write_down(runner)
        super().after_train(runner)

    def write_down(self, runner) -> None:
        """Hands all values that were kept to the message hub, in the order they came."""
        kept, self._kept = self._kept, []
        tensors = [
            value.double()  # exact for every type of a loss
            for values in kept
            for value in values.values()
            if isinstance(value, Tensor) and value.numel() == 1
        ]
        # one transfer per device
        numbers = iter(torch.stack([t.reshape(()) for t in tensors]).tolist() if tensors else ())
        for values in kept:
            for name, value in values.items():
                is_kept = isinstance(value, Tensor) and value.numel() == 1
                runner.message_hub.update_scalar(
                    f'train/{name}', next(numbers) if is_kept else value
                )


@HOOKS.register_module()
class CompileHook(Hook):
    """Compiles backbone and head for the training, each by itself; losses run as they are.

    The first iteration takes minutes, once per size of the crops and machine. Validations run
    uncompiled: their images have other sizes.

    Args:
        mode: of ``torch.compile``: 'default', 'reduce-overhead' (CUDA graphs) or 'max-autotune'.

    Raises:
        ConfigError: there is no such mode, or no compiler.
    """

    def __init__(self, mode: str = 'default') -> None:
        if mode not in COMPILE_MODES:
            raise ConfigError(f'compile mode {mode!r}: choose one of {", ".join(COMPILE_MODES)}')
        self.mode = mode

    def before_train(self, runner) -> None:
        """Marks what is to be compiled when it first runs."""
        segmentor = innermost(runner.model)
        check_compiler(next(segmentor.parameters()).device)
        compile_network(segmentor, mode=self.mode)

    def before_val(self, runner) -> None:
        """Runs the network uncompiled."""
        _set_stance('force_eager')

    def after_val(self, runner) -> None:
        """Runs the network compiled again."""
        _set_stance('default')


def _set_stance(stance: str) -> None:
    """Before torch 2.6 there is none: validations are compiled, too, once for every size."""
    if hasattr(torch.compiler, 'set_stance'):
        torch.compiler.set_stance(stance)


def write_down_log(runner) -> None:
    """Makes the message hub complete, before somebody stores it."""
    for hook in runner.hooks:
        if isinstance(hook, RuntimeInfoHook):
            hook.write_down(runner)
