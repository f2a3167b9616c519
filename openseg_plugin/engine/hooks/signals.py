"""A run that ends before its last iteration.

It is told to (preemption, scancel, Ctrl-C, a closed terminal), its time is up, or it no longer gets
better. In each case it saves first.
"""

import os
import signal
import threading
import time
from typing import Any

import torch
from mmengine.dist import all_gather_object, all_reduce, get_world_size
from mmengine.hooks import EarlyStoppingHook as MMEngineEarlyStoppingHook
from mmengine.hooks import Hook

from openseg_plugin.engine.runner.loops import lost_worker, save_now
from openseg_plugin.errors import ConfigError, MachineError
from openseg_plugin.registry import HOOKS

_NAMES = ('SIGTERM', 'SIGINT', 'SIGHUP', 'SIGUSR1')
_SIGNALS = tuple(getattr(signal, name) for name in _NAMES if hasattr(signal, name))
# A terminal sends Ctrl-C to torchrun and to its processes, and torchrun passes it on once more.
_ONE_PRESS = 1.0
_LOST_WORKER = 1000  # above all signals, so that it wins among the processes


@HOOKS.register_module()
class SaveOnSignalHook(Hook):
    """On a signal to any process, all finish their iteration, save a checkpoint and exit.

    SIGTERM, SIGINT, SIGHUP and SIGUSR1 end with 143, 130, 129 and 138, as a shell reports them; a
    second SIGINT ends at once. A signal that the run was told to ignore (nohup) stays ignored.

    The signal sets a flag; the processes compare flags after every iteration, in training and in
    validation. ``--resume`` continues exactly. A loading process that is killed is told in the same
    way, so that all processes save what they have.
    """

    priority = 'LOWEST'  # after the periodic checkpoint

    def __init__(self) -> None:
        self._number = 0  # of the signal that came first
        self._interrupted_at: float | None = None
        self._before: dict[int, Any] = {}
        self._shared_batches = 0
        self._is_validating = False
        self._batches_done = 0

    def before_train(self, runner) -> None:
        """Takes over the signals; where another thread trains, nothing can be taken over."""
        if threading.current_thread() is not threading.main_thread():
            return
        for number in _SIGNALS:
            if signal.getsignal(number) not in (signal.SIG_IGN, None):
                self._before[number] = signal.signal(number, self._note)

    def after_train_iter(
        self,
        runner,
        batch_idx: int,
        data_batch: dict | None = None,
        outputs: dict | None = None,
    ) -> None:
        """End of an iteration of the training."""
        self._leave_if_told(runner, iterations_done=runner.iter + 1)

    def before_val_epoch(self, runner) -> None:
        """Counts the batches that every process has."""
        self._shared_batches = min(all_gather_object(len(runner.val_dataloader)))
        self._is_validating, self._batches_done = True, 0

    def after_val_iter(
        self,
        runner,
        batch_idx: int,
        data_batch: dict | None = None,
        outputs: list | None = None,
    ) -> None:
        """End of an iteration of a validation within the training."""
        self._batches_done = batch_idx + 1
        if self._before and batch_idx < self._shared_batches:
            self._leave_if_told(runner, iterations_done=runner.iter)

    def after_val_epoch(self, runner, metrics: dict | None = None) -> None:
        """The validation is over."""
        self._is_validating = False

    def tell_of_lost_worker(self, runner) -> bool:
        """A loading process of this process was killed: all end after this iteration.

        Returns:
            Whether the caller must go on with the iteration, with a batch that it reads itself.

        Raises:
            MachineError: within a validation, when all processes have saved.
        """
        if not self._before:
            return False
        self._number = _LOST_WORKER
        if not self._is_validating:
            return True
        if self._batches_done < self._shared_batches:  # where the others are
            self._leave_if_told(runner, iterations_done=runner.iter)
        return False

    def after_train(self, runner) -> None:
        """Gives the signals back."""
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}

    def _note(self, number: int, frame: object) -> None:
        now = time.monotonic()
        if number == signal.SIGINT:
            window = _ONE_PRESS if 'TORCHELASTIC_RUN_ID' in os.environ else 0
            if self._interrupted_at is not None and now - self._interrupted_at >= window:
                raise KeyboardInterrupt
            self._interrupted_at = now if self._interrupted_at is None else self._interrupted_at
        self._number = self._number or number

    def _leave_if_told(self, runner, *, iterations_done: int) -> None:
        number = self._told()
        if not number:
            return
        where = save_now(runner, iterations_done)
        if number == _LOST_WORKER:
            raise MachineError(lost_worker(f'iteration {iterations_done} is saved {where}'))
        name = signal.Signals(number).name
        runner.logger.info(
            f'{name}: iteration {iterations_done} is saved {where}; go on with --resume'
        )
        raise SystemExit(128 + number)

    def _told(self) -> int:
        """Number of the signal that any process got; 0 for none."""
        if get_world_size() == 1:
            return self._number
        told = torch.tensor(float(self._number))
        all_reduce(told, op='max')
        return int(told.item())


class TimeIsUp(SystemExit):
    """A run has had its time; what it made is saved. The exit status is 0."""


@HOOKS.register_module()
class MaxTimeHook(Hook):
    """Saves and ends the run after the first iteration that is over when its time is up.

    Args:
        seconds: of this run, from its start; a resumed run has them again.

    Raises:
        ConfigError: ``seconds`` is not above 0.
    """

    priority = 'LOWEST'  # after the periodic checkpoint

    def __init__(self, seconds: float) -> None:
        if not seconds > 0:
            raise ConfigError(f'MaxTimeHook.seconds is {seconds}: give a number above 0')
        self.seconds = seconds
        self._started = time.monotonic()

    def after_train_iter(
        self,
        runner,
        batch_idx: int,
        data_batch: dict | None = None,
        outputs: dict | None = None,
    ) -> None:
        """Ends the run if the time of any process is up.

        Raises:
            TimeIsUp: it is.
        """
        is_up = torch.tensor(float(time.monotonic() - self._started >= self.seconds))
        if get_world_size() > 1:
            all_reduce(is_up, op='max')
        done = runner.iter + 1
        if not is_up or done >= runner.max_iters:
            return
        where = save_now(runner, done)
        runner.logger.info(
            f'the time is up: iteration {done} of {runner.max_iters} is saved {where}; go on with '
            'the same command and --resume'
        )
        raise TimeIsUp(0)


@HOOKS.register_module()
class EarlyStoppingHook(MMEngineEarlyStoppingHook):
    """mmengine's, that goes on counting after a resume, and saves what it stops.

    Args:
        monitor: metric of the validation.
        patience: validations in a row without a better value, after which the training ends.
        options: of mmengine's EarlyStoppingHook.

    Raises:
        ConfigError: the validation does not measure ``monitor`` (at the first one).
    """

    priority = 'LOW'  # before the checkpoint hook, which may save that a validation is counted

    def __init__(self, monitor: str = 'mIoU', *, patience: int = 5, **options: Any) -> None:
        # above 0: an equal value is no better one
        settings = dict(rule='greater', min_delta=1e-6) | options
        super().__init__(monitor, patience=patience, **settings)

    def before_train(self, runner) -> None:
        """Takes up the count of a resumed run."""
        state = runner.message_hub.runtime_info.get('early_stopping') or {}
        if state.get('monitor') == self.monitor:
            self.wait_count, self.best_score = state['wait_count'], state['best_score']

    def after_val_epoch(self, runner, metrics: dict[str, float] | None = None) -> None:
        """Counts, and ends the training."""
        if self.monitor not in (metrics or {}):
            raise ConfigError(
                f'early stopping looks at {self.monitor}, but the validation measures '
                f'{", ".join(metrics or ()) or "nothing"}: set EarlyStoppingHook.monitor'
            )
        super().after_val_epoch(runner, metrics)
        state = dict(monitor=self.monitor, wait_count=self.wait_count, best_score=self.best_score)
        runner.message_hub.update_info('early_stopping', state)

    def after_train(self, runner) -> None:
        """Saves a training that was ended early."""
        if runner.train_loop.stop_training:
            where = save_now(runner, runner.iter)
            runner.logger.info(
                f'{self.monitor} was not above {self.best_score:.4g} in {self.wait_count} '
                f'validations: the training ends early, iteration {runner.iter} is {where}'
            )
