"""Stops a training whose loss or weights are no longer finite, before anything is spoiled."""

import math

import torch
from mmengine.dist import all_gather_object, all_reduce, get_world_size
from mmengine.hooks import Hook
from mmengine.optim import OptimWrapperDict
from torch import Tensor, nn

from openseg_plugin.errors import UserError
from openseg_plugin.registry import HOOKS


class NotFiniteError(UserError):
    """A loss or a weight is inf or nan."""


@HOOKS.register_module()
class CheckInvalidLossHook(Hook):
    """Raises before the optimizer uses a loss that is inf or nan, and names the images.

    Whether it is finite is copied from a GPU behind the forward pass, and waited for before the
    step: the GPU is busy with the backward pass then, and has the next one to do when the loss is
    known. All processes stop together.

    With float16 a loss scaler leaves an iteration out whose gradients are not finite, and halves
    its scale. As many of them in a row as take the scale to 1 are let pass.
    """

    priority = 'VERY_HIGH'

    def __init__(self) -> None:
        self._allowed: int | None = None  # iterations that may still be left out in a row
        self._step = 0
        self._names: list[str] = []
        self._losses: dict[str, Tensor] = {}
        self._verdicts: list[tuple[Tensor, torch.cuda.Event | None]] = []

    def before_train(self, runner) -> None:
        """Listens to the losses of the model and to the steps of the optimizer."""
        self._model = getattr(runner.model, 'module', runner.model)
        self._listeners = [self._model.register_forward_hook(self._keep_losses)]
        wrapper = runner.optim_wrapper
        wrappers = wrapper.values() if isinstance(wrapper, OptimWrapperDict) else [wrapper]
        scalers = [one.loss_scaler for one in wrappers if hasattr(one, 'loss_scaler')]
        self._scalers = [scaler for scaler in scalers if scaler.is_enabled()]
        self._listeners += [
            one.optimizer.register_step_pre_hook(lambda *_: self._check()) for one in wrappers
        ]

    def before_train_iter(self, runner, batch_idx: int, data_batch: dict | None = None) -> None:
        """Remembers the images of the batch."""
        self._step = runner.iter + 1
        self._names = _image_names(data_batch)

    def after_train_iter(
        self,
        runner,
        batch_idx: int,
        data_batch: dict | None = None,
        outputs: dict | None = None,
    ) -> None:
        """Checks steps in which no optimizer ran: gradient accumulation, a skipped AMP step."""
        if self._losses:
            self._check(is_left_out=bool(self._scalers))

    def after_train(self, runner) -> None:
        """Stops listening."""
        for listener in self._listeners:
            listener.remove()

    def _keep_losses(self, module: nn.Module, args: tuple, output: object) -> None:
        if not module.training or not isinstance(output, dict):
            return
        losses = {}
        for name, value in output.items():
            if 'loss' in name:  # what mmengine adds up
                parts = [value] if isinstance(value, Tensor) else value
                losses[name] = torch.stack([part.detach().float().mean() for part in parts]).sum()
        if losses:
            self._losses.update(losses)
            self._verdicts.append(_ask_whether_bad(torch.stack(list(losses.values())).sum()))

    def _check(self, *, is_left_out: bool = False) -> None:
        """Raises for a loss that is not finite, unless a scaler left it out and may do so again."""
        losses, self._losses = self._losses, {}
        verdicts, self._verdicts = self._verdicts, []
        if not any([_answer(*verdict) for verdict in verdicts]):  # a list: all are waited for
            self._allowed = None
            return
        if is_left_out and self._may_pass():
            return
        mine = [] if all(torch.isfinite(loss) for loss in losses.values()) else self._names
        names = [name for part in all_gather_object(mine) for name in part]
        values = ', '.join(f'{name} = {value.item():.4g}' for name, value in losses.items())
        raise NotFiniteError(
            f'the loss is not finite at iteration {self._step} ({values}) on '
            f'{", ".join(names) or "an unnamed batch"}; the weights were not changed: look at '
            'these images and labels, or use --resume --override-lr with a lower learning rate'
        )

    def _may_pass(self) -> bool:
        if self._allowed is None:
            scale = max(scaler.get_scale() for scaler in self._scalers)
            # the scale was halved already for this one
            self._allowed = int(math.log2(scale)) + 1 if scale > 1 else 0
        self._allowed -= 1
        return self._allowed >= 0


def _ask_whether_bad(loss: Tensor) -> tuple[Tensor, torch.cuda.Event | None]:
    """Whether a loss is not finite in any process, on its way to the CPU."""
    bad = (~torch.isfinite(loss)).float()
    if get_world_size() > 1:
        all_reduce(bad, op='max')
    if not bad.is_cuda:
        return bad, None
    kept = torch.empty((), pin_memory=True).copy_(bad, non_blocking=True)
    event = torch.cuda.Event()
    event.record()
    return kept, event


def _answer(bad: Tensor, event: torch.cuda.Event | None) -> bool:
    if event is not None:
        event.synchronize()
    return bool(bad)


def check_weights(model: nn.Module) -> None:
    """Makes sure that no parameter and no buffer is inf or nan.

    Raises:
        NotFiniteError: names the first that is.
    """
    tensors = {k: v for k, v in model.state_dict().items() if v.is_floating_point()}
    if not tensors or torch.stack([torch.isfinite(v).all() for v in tensors.values()]).all():
        return
    bad = [name for name, value in tensors.items() if not torch.isfinite(value).all()]
    raise NotFiniteError(
        f'{len(bad)} of {len(tensors)} weights are not finite, the first is {bad[0]}; they were '
        'not saved: go on from the checkpoint before with --resume --override-lr and a lower rate'
    )


def _image_names(data_batch: dict | None) -> list[str]:
    samples = data_batch.get('data_samples', ()) if isinstance(data_batch, dict) else ()
    return [sample.img_path for sample in samples if hasattr(sample, 'img_path')]
