"""A run that is told to end (SIGTERM: preemption, scancel, shutdown) saves and leaves."""

import signal
import threading

import torch
from mmengine.dist import all_gather_object, all_reduce, get_world_size
from mmengine.hooks import Hook

from openseg_plugin.engine.hooks.checkpoint import CheckpointHook
from openseg_plugin.registry import HOOKS

EXIT_STATUS = 128 + signal.SIGTERM  # 143, what a shell reports for a process ended by SIGTERM


@HOOKS.register_module()
class SigtermHook(Hook):
    """On SIGTERM to any process, all finish their step, save a checkpoint and exit with 143.

    The signal sets a flag; the processes compare flags after every step, in training and in
    validation. ``--resume`` continues exactly.
    """

    priority = 'LOWEST'  # after the periodic checkpoint

    def __init__(self) -> None:
        self._told = False
        self._before = None
        self._shared_batches = 0

    def before_train(self, runner) -> None:
        """Takes over SIGTERM; where another thread trains, nothing can be taken over."""
        if threading.current_thread() is threading.main_thread():
            self._before = signal.signal(signal.SIGTERM, self._note)

    def after_train_iter(
        self,
        runner,
        batch_idx: int,
        data_batch: dict | None = None,
        outputs: dict | None = None,
    ) -> None:
        """Step boundary of the training."""
        self._leave_if_told(runner, steps_done=runner.iter + 1)

    def before_val_epoch(self, runner) -> None:
        """Counts the batches that every process has."""
        self._shared_batches = min(all_gather_object(len(runner.val_dataloader)))

    def after_val_iter(
        self,
        runner,
        batch_idx: int,
        data_batch: dict | None = None,
        outputs: list | None = None,
    ) -> None:
        """Step boundary of a validation within the training."""
        if self._before is not None and batch_idx < self._shared_batches:
            self._leave_if_told(runner, steps_done=runner.iter)

    def after_train(self, runner) -> None:
        """Gives SIGTERM back."""
        if self._before is not None:
            signal.signal(signal.SIGTERM, self._before)
            self._before = None

    def _note(self, number: int, frame: object) -> None:
        self._told = True

    def _leave_if_told(self, runner, *, steps_done: int) -> None:
        if not self._anyone_told():
            return
        savers = [hook for hook in runner.hooks if isinstance(hook, CheckpointHook)]
        for hook in savers:
            hook.save(runner, steps_done=steps_done)
        where = f'in {savers[0].last_ckpt}' if savers else 'nowhere (no CheckpointHook)'
        runner.logger.info(f'SIGTERM: step {steps_done} is saved {where}; go on with --resume')
        raise SystemExit(EXIT_STATUS)

    def _anyone_told(self) -> bool:
        if get_world_size() == 1:
            return self._told
        told = torch.tensor(float(self._told))
        all_reduce(told, op='max')
        return bool(told.item())
