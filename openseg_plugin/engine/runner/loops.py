"""Training loop by iterations that can be stopped anywhere and continued as if it had not been.

What differs from mmengine's ``IterBasedTrainLoop``:

* A resume enters the sampler at the right position instead of reading all the data again.
* The random states of every process are part of the checkpoint. Loading data (without worker
  processes it shares the generators with dropout) and validating leave them alone, so a run
  depends neither on the number of workers nor on when it validates.
* A validation that was cut off is made up for after the resume.
* Running statistics of BatchNorm that processes gathered apart are averaged before they are used
  by a validation or a checkpoint.
"""

import ctypes
import itertools
import os
import signal
from collections.abc import Callable
from functools import partial
from multiprocessing.sharedctypes import RawValue

import torch
from mmengine.dist import all_gather_object, all_reduce_params, get_rank, get_world_size
from mmengine.runner import BaseLoop
from mmengine.runner import IterBasedTrainLoop as MMEngineLoop
from mmengine.runner.utils import calc_dynamic_intervals
from torch import nn
from torch.utils.data import DataLoader

from openseg_plugin.errors import ConfigError
from openseg_plugin.registry import LOOPS
from openseg_plugin.utils.random_state import preserve_rng_state, random_state, set_random_state

# Seconds that a data loading process lives on after a SIGTERM sent to the whole process group, so
# that the step under way can be finished and saved; on a CPU a step may take minutes. Processes
# whose parent is gone end by themselves within seconds.
WORKER_GRACE = 600


@LOOPS.register_module()
class IterBasedTrainLoop(MMEngineLoop):
    """Trains for ``max_iters`` steps, validating every ``val_interval`` steps and after the last.

    Exact resume needs ``sampler=dict(type='openseg_plugin.InfiniteSampler')`` and, for random
    augmentation, :class:`openseg_plugin.SeedSample` at the start of the pipeline; it also needs
    :class:`openseg_plugin.CheckpointHook`.

    Args:
        runner: the runner.
        dataloader: training data, a loader or its config.
        max_iters: number of steps.
        val_begin: first step after which to validate.
        val_interval: steps between validations.
        dynamic_intervals: (step, interval) pairs: from this step on, this ``val_interval``.

    Raises:
        ConfigError: ``max_iters`` is missing or no whole number above 0.
    """

    def __init__(
        self,
        runner,
        dataloader: DataLoader | dict,
        max_iters: int | None = None,
        val_begin: int = 1,
        val_interval: int = 1000,
        dynamic_intervals: list[tuple[int, int]] | None = None,
    ) -> None:
        # Not mmengine's __init__: it would start the workers on sample 0, before the resume.
        BaseLoop.__init__(self, runner, dataloader)
        if max_iters is None or max_iters != int(max_iters) or max_iters < 1:
            raise ConfigError(f'train_cfg.max_iters is {max_iters}: give a whole number above 0')
        self._max_iters = int(max_iters)
        self._max_epochs = 1  # the runner asks for it
        self._epoch = 0
        self._iter = 0
        self.val_begin = val_begin
        self.val_interval = val_interval
        self.stop_training = False  # EarlyStoppingHook sets it
        self.dynamic_milestones, self.dynamic_intervals = calc_dynamic_intervals(
            val_interval, dynamic_intervals
        )
        self._leaving = RawValue(ctypes.c_bool, False)  # seen by the loading processes
        _outlive_sigterm(self.dataloader, self._leaving)
        self.runner.visualizer.dataset_meta = getattr(self.dataloader.dataset, 'metainfo', None)
        self._first_position = 0
        self._first_iter = 0
        self._states: list[dict] | None = None  # random states from the checkpoint, one per rank
        self._kept: dict | None = None  # the training's random state while validating
        self.last_validated = 0  # step of the last complete validation

    # -- what a checkpoint keeps --------------------------------------------------------------

    def state_dict(self, steps_done: int) -> dict:
        """State after ``steps_done`` steps; every process must call this at the same time."""
        state = self._kept if self._kept is not None else random_state()
        return {
            'random': all_gather_object(state) if get_world_size() > 1 else [state],
            'position': self._position(steps_done),
            'sampler_seed': getattr(self.dataloader.sampler, 'seed', None),
            'last_validated': self.last_validated,
        }

    def load_state_dict(self, state: dict) -> None:
        """Continues from ``state``; the number of steps comes from the runner."""
        self._states = state['random']
        self._first_position = state['position']
        self.last_validated = state['last_validated']
        if _enterable(self.dataloader.sampler) and state['sampler_seed'] is not None:
            self.dataloader.sampler.seed = state['sampler_seed']

    def _position(self, steps_done: int) -> int:
        """Number of samples that all processes together have trained on."""
        batch = self.dataloader.batch_sampler.batch_size * get_world_size()
        return self._first_position + (steps_done - self._first_iter) * batch

    # -- running ------------------------------------------------------------------------------

    def run(self) -> nn.Module:
        """Trains from the current step to the last; returns the model."""
        try:
            self._train()
        finally:
            self._leaving.value = True
        return self.runner.model

    def _train(self) -> None:
        self.runner.call_hook('before_train')
        self.runner.call_hook('before_train_epoch')
        resumed = self._iter > 0
        iterator = self._enter_data()
        self._restore_random_state(resumed=resumed)
        if self.runner.val_loop is not None:
            _outlive_sigterm(self.runner.val_dataloader, self._leaving)
        if resumed and self.last_validated != self._iter:
            self._decide_current_val_interval()
            self._maybe_validate()
        while self._iter < self._max_iters and not self.stop_training:
            self.runner.model.train()
            self.run_iter(self._next(iterator))
            self._decide_current_val_interval()
            self._maybe_validate()
        self.runner.call_hook('after_train_epoch')
        self.runner.call_hook('after_train')

    def _enter_data(self):
        """Iterator over batches, beginning where the checkpoint stopped."""
        self._first_iter = self._iter
        sampler = self.dataloader.sampler
        if _enterable(sampler):
            if self._iter and not self._states:  # a checkpoint of another loop
                batch = self.dataloader.batch_sampler.batch_size * get_world_size()
                self._first_position = self._iter * batch
            sampler.start = self._first_position
        elif self._iter:
            self.runner.logger.warning(
                f'the data order starts afresh at step {self._iter}: only '
                "sampler=dict(type='openseg_plugin.InfiniteSampler') can be resumed exactly"
            )
        return _endless(self.dataloader)

    def _restore_random_state(self, *, resumed: bool) -> None:
        if not resumed:
            return
        if self._states is None or len(self._states) != get_world_size():
            count = 0 if self._states is None else len(self._states)
            self.runner.logger.warning(
                f'the checkpoint holds random states of {count} processes, there are '
                f'{get_world_size()} now: dropout will differ from an uninterrupted run'
            )
            return
        set_random_state(self._states[get_rank()])

    def _next(self, iterator):
        # Without worker processes the transforms move the generators that dropout uses; with
        # them, starting the workers does.
        with preserve_rng_state():
            return next(iterator)

    def _maybe_validate(self) -> None:
        due = self._iter % self.val_interval == 0 or self._iter == self._max_iters
        if self.runner.val_loop is None or self._iter < self.val_begin or not due:
            return
        average_running_statistics(self.runner.model)
        with preserve_rng_state() as self._kept:
            self.runner.val_loop.run()
        self._kept = None
        self.mark_validated()

    def mark_validated(self) -> None:
        """The validation of this step is complete; hooks that save say so before they save."""
        self.last_validated = self._iter


def _enterable(sampler: object) -> bool:
    """Whether the sampler can begin at any position, as openseg_plugin.InfiniteSampler can."""
    return hasattr(sampler, 'start')


def _endless(dataloader: DataLoader):
    for epoch in itertools.count():
        if hasattr(dataloader.sampler, 'set_epoch'):
            dataloader.sampler.set_epoch(epoch)
        yield from dataloader


def _outlive_sigterm(dataloader: DataLoader, leaving: ctypes.c_bool) -> None:
    """The loading processes live WORKER_GRACE seconds after a SIGTERM, unless ``leaving`` is set.

    Without that flag the end of the main process, which sends SIGTERM and waits, would take as
    long.
    """
    dataloader.worker_init_fn = partial(
        _start_worker, start=dataloader.worker_init_fn, leaving=leaving
    )


def _start_worker(
    worker_id: int, *, start: Callable[[int], None] | None, leaving: ctypes.c_bool
) -> None:
    if start is not None:
        start(worker_id)
    signal.signal(
        signal.SIGTERM, lambda *_: os._exit(0) if leaving.value else signal.alarm(WORKER_GRACE)
    )


def average_running_statistics(model: nn.Module) -> None:
    """Averages the running mean and variance of plain BatchNorm layers over all processes.

    With SyncBN the processes agree already, and nothing is sent.
    """
    if get_world_size() == 1:
        return
    statistics = [
        buffer
        for module in model.modules()
        if isinstance(module, nn.modules.batchnorm._BatchNorm)
        and not isinstance(module, nn.SyncBatchNorm)
        for buffer in (module.running_mean, module.running_var)
        if isinstance(buffer, torch.Tensor)
    ]
    if statistics:
        all_reduce_params(statistics, op='mean')
