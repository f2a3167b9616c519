"""Training loop by iterations that can be stopped anywhere and continued as if it had not been.

What differs from mmengine's ``IterBasedTrainLoop``:

* A resume enters the sampler at the right position instead of reading all the data again.
* The random states of every process are part of the checkpoint. Loading data (without worker
  processes it shares the generators with dropout) and validating leave them alone, so a run
  depends neither on the number of workers nor on when it validates.
* A validation that was cut off is made up for after the resume.
* A stop within a group of accumulated gradients keeps the gradients.
* A loading process that is killed, as the system does when memory runs out, costs no iteration.
* Running statistics of BatchNorm that processes gather apart are averaged for a validation and in
  the weights of a checkpoint. Every process trains on with its own, which the checkpoint holds too.
"""

import ctypes
import hashlib
import itertools
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from multiprocessing.sharedctypes import RawValue
from typing import Any

import torch
from mmengine.dataset import InfiniteSampler
from mmengine.dist import all_gather_object, all_reduce_params, get_rank, get_world_size
from mmengine.hooks import EMAHook
from mmengine.optim import OptimWrapperDict
from mmengine.runner import BaseLoop, EpochBasedTrainLoop
from mmengine.runner import IterBasedTrainLoop as MMEngineLoop
from mmengine.runner.utils import calc_dynamic_intervals
from torch import nn
from torch.utils.data import DataLoader

from openseg_plugin.errors import ConfigError, MachineError
from openseg_plugin.registry import LOOPS
from openseg_plugin.utils.random_state import preserve_rng_state, random_state, set_random_state

# Seconds that a data loading process lives on after a SIGTERM sent to the whole process group, so
# that the iteration under way can be finished and saved; on a CPU it may take minutes. Processes
# whose parent is gone end by themselves within seconds.
WORKER_GRACE = 600
_PR_SET_PDEATHSIG = 1  # of Linux: a signal for this process when its parent ends
_SAMPLES = 8  # of the val split, whose sizes are compared before the training


@LOOPS.register_module()
class IterBasedTrainLoop(MMEngineLoop):
    """Trains for ``max_iters`` iterations; validates every ``val_interval`` and after the last.

    A recipe may say ``max_epochs`` instead. An epoch is as many whole batches of all processes as
    one pass of the sampler has (at least one), and ``val_begin``, ``val_interval`` and
    ``dynamic_intervals`` count epochs then. With both, the training ends with the first of them.

    Exact resume needs ``sampler=dict(type='openseg_plugin.InfiniteSampler')`` and, for random
    augmentation, :class:`openseg_plugin.SeedSample` at the start of the pipeline; it also needs
    :class:`openseg_plugin.CheckpointHook`.

    Args:
        runner: the runner.
        dataloader: training data, a loader or its config.
        max_iters: number of iterations, a whole one; 8e4 is 80000, as in mmengine.
        max_epochs: number of epochs, likewise.
        val_begin: first iteration or epoch after which to validate.
        val_interval: iterations or epochs between validations; by default 1000 or 1.
        dynamic_intervals: (iteration or epoch, interval) pairs: ``val_interval`` from there on.

    Raises:
        ConfigError: a number is missing or no whole number above 0.
    """

    def __init__(
        self,
        runner,
        dataloader: DataLoader | dict,
        max_iters: float | None = None,
        max_epochs: float | None = None,
        val_begin: int = 1,
        val_interval: int | None = None,
        dynamic_intervals: list[tuple[int, int]] | None = None,
    ) -> None:
        # Not mmengine's __init__: it would start the workers on sample 0, before the resume.
        BaseLoop.__init__(self, runner, dataloader)
        unit = 1 if max_epochs is None else iterations_per_epoch(self.dataloader)
        if val_interval is None:
            val_interval = 1000 if max_epochs is None else 1
        given: dict[str, float | None] = dict(val_begin=val_begin, val_interval=val_interval)
        if max_epochs is None or max_iters is not None:
            given['max_iters'] = max_iters
        if max_epochs is not None:
            given['max_epochs'] = max_epochs
        numbers = {name: _whole(value, f'train_cfg.{name}') for name, value in given.items()}
        ends = [numbers['max_iters']] if 'max_iters' in numbers else []
        ends += [unit * numbers['max_epochs']] if 'max_epochs' in numbers else []
        self._max_iters = min(ends)
        self._max_epochs = 1  # the runner asks for it
        self._epoch = 0
        self._iter = 0
        self.val_begin = unit * (numbers['val_begin'] - 1) + 1 if unit > 1 else numbers['val_begin']
        self.val_interval = unit * numbers['val_interval']
        self.stop_training = False  # EarlyStoppingHook sets it
        self.dynamic_milestones, self.dynamic_intervals = calc_dynamic_intervals(
            self.val_interval, [(unit * at, unit * every) for at, every in dynamic_intervals or ()]
        )
        self._leaving = RawValue(ctypes.c_bool, False)  # seen by the loading processes
        _outlive_sigterm(self.dataloader, self._leaving)
        self.runner.visualizer.dataset_meta = getattr(self.dataloader.dataset, 'metainfo', None)
        self._first_position = 0
        self._first_iter = 0
        self._states: list[dict] | None = None  # random states from the checkpoint, one per rank
        self._gradients: list[dict] | None = None  # likewise, within a group of accumulation
        self._kept: dict | None = None  # the training's random state while validating
        self.statistics = RunningStatistics(runner)
        self._buffers: list[dict] | None = None  # that differ among the processes, one per rank
        self.last_validated = 0  # step of the last complete validation

    def state_dict(self, iterations_done: int) -> dict:
        """State after so many iterations; every process must call this at the same time."""
        state = self._kept if self._kept is not None else random_state()
        return {
            'random': all_gather_object(state) if get_world_size() > 1 else [state],
            'position': self._position(iterations_done),
            'sampler_seed': getattr(self.dataloader.sampler, 'seed', None),
            'last_validated': self.last_validated,
            'gradients': _gathered_gradients(self.runner),
            'buffers': self.statistics.gathered(),
        }

    def load_state_dict(self, state: dict) -> None:
        """Continues from ``state``; the number of iterations comes from the runner.

        Raises:
            KeyError, TypeError, ValueError: nobody wrote such a state.
        """
        _check_state(state)
        self._states = state['random']
        self._gradients = state.get('gradients')
        self._buffers = state.get('buffers')
        self._first_position = state['position']
        self.last_validated = state['last_validated']
        if _enterable(self.dataloader.sampler) and state['sampler_seed'] is not None:
            self.dataloader.sampler.seed = state['sampler_seed']

    def _position(self, iterations_done: int) -> int:
        """Number of samples that all processes together have trained on."""
        batch = self.dataloader.batch_sampler.batch_size * get_world_size()
        return self._first_position + (iterations_done - self._first_iter) * batch

    def run(self) -> nn.Module:
        """Trains from the current iteration to the last; returns the model."""
        try:
            self._train()
        except (RuntimeError, OSError, EOFError) as error:
            if not _is_dead_worker(error):
                raise
            where = 'the newest checkpoint is of before'
            if get_world_size() == 1:
                where = f'iteration {self._iter} is saved {save_now(self.runner, self._iter)}'
            else:  # in a validation; raises where all processes save together
                self._tell_of_lost_worker()
            raise MachineError(lost_worker(where)) from error
        finally:
            self._leaving.value = True
        return self.runner.model

    def _train(self) -> None:
        self.runner.call_hook('before_train')
        self.runner.call_hook('before_train_epoch')
        resumed = self._iter > 0
        if self._iter >= self._max_iters:
            self.runner.logger.info(
                f'nothing left to train: the checkpoint has {self._iter} iterations and '
                f'train_cfg.max_iters is {self._max_iters}; raise that to train longer'
            )
        iterator = self._enter_data()
        self._restore_random_state(resumed=resumed)
        if self.runner.val_loop is not None:
            _outlive_sigterm(self.runner.val_dataloader, self._leaving)
            with preserve_rng_state():
                refuse_unequal_batches(self.runner.val_dataloader, self.runner.model)
        if resumed and self.last_validated != self._iter:
            self._decide_current_val_interval()
            self._maybe_validate()
        while self._iter < self._max_iters and not self.stop_training:
            self.runner.model.train()
            self.run_iter(self._next(iterator))
            self._decide_current_val_interval()
            self._maybe_validate()
        self.statistics.enter()  # to stay: what is drawn and returned is what the checkpoint holds
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
                f'the data order starts afresh at iteration {self._iter}: only '
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
        if self._buffers:
            self.statistics.set_own(self._buffers[get_rank()])
            self._buffers = None
        if self._gradients:
            _set_gradients(self.runner, self._gradients[get_rank()])
            self._gradients = None
            # mmengine has just warned that they are lost
            self.runner.logger.info('the gradients accumulated before the stop are restored')

    def _next(self, iterator):
        # Without worker processes the transforms move the generators that dropout uses; with
        # them, starting the workers does.
        with preserve_rng_state():
            try:
                batch = next(iterator)
            except (RuntimeError, OSError, EOFError) as error:
                # the other processes are in their iteration and wait for this one's gradients
                is_alone = get_world_size() == 1 or not _enterable(self.dataloader.sampler)
                if is_alone or not _is_dead_worker(error) or not self._tell_of_lost_worker():
                    raise
                batch = self._read_here()
        _hear_of_dead_workers_here_only()
        return batch

    def _tell_of_lost_worker(self) -> bool:
        hooks = [hook for hook in self.runner.hooks if hasattr(hook, 'tell_of_lost_worker')]
        return bool(hooks) and hooks[0].tell_of_lost_worker(self.runner)

    def _read_here(self):
        """The batch of this iteration, read by this process."""
        loader = self.dataloader
        loader.sampler.start = self._position(self._iter)
        loader = DataLoader(
            loader.dataset, batch_sampler=loader.batch_sampler, collate_fn=loader.collate_fn
        )
        return next(iter(loader))

    def _maybe_validate(self) -> None:
        due = self._iter % self.val_interval == 0 or self._iter == self._max_iters
        if self.runner.val_loop is None or self._iter < self.val_begin or not due:
            return
        with self.statistics.averaged(), preserve_rng_state() as self._kept:
            self.runner.val_loop.run()
        self._kept = None
        self.mark_validated()

    def mark_validated(self) -> None:
        """The validation of this iteration is complete; hooks that save say so before they save."""
        self.last_validated = self._iter


def _check_state(state: dict) -> None:
    """Tries what only comes up later, when the training has begun.

    Raises:
        KeyError, TypeError, ValueError: see :meth:`IterBasedTrainLoop.load_state_dict`.
    """
    for key in ('position', 'last_validated'):
        if not isinstance(state[key], int) or not 0 <= state[key] < 2**53:
            raise ValueError(f'{key} is {state[key]!r:.50}')
    if not isinstance(state['sampler_seed'], (int, type(None))):
        raise ValueError(f'sampler_seed is {state["sampler_seed"]!r:.50}')
    for key in ('random', 'gradients', 'buffers'):
        parts = state.get(key)
        if parts is not None and not all(isinstance(part, dict) for part in list(parts)):
            raise ValueError(f'{key} of the processes is no list of mappings')
    with preserve_rng_state():
        for part in state['random']:
            set_random_state(part)


def iterations_per_epoch(dataloader: DataLoader) -> int:
    """Whole batches of all processes in one pass over the data; at least 1."""
    sampler: Any = dataloader.sampler
    dataset: Any = dataloader.dataset
    batches: Any = dataloader.batch_sampler
    samples = len(sampler) if _enterable(sampler) else len(dataset)
    return max(1, samples // (batches.batch_size * get_world_size()))


def refuse_endless_epochs(loop: BaseLoop) -> None:
    """Makes sure that mmengine's loop by epochs does not get a sampler without end.

    Raises:
        ConfigError: it does.
    """
    if not isinstance(loop, EpochBasedTrainLoop):
        return
    sampler = loop.dataloader.sampler
    if _enterable(sampler) or isinstance(sampler, InfiniteSampler):
        raise ConfigError(
            f'train_cfg.type is EpochBasedTrainLoop, but train_dataloader.sampler.type '
            f'{type(sampler).__name__} has no end: use train_cfg=dict('
            f"type='openseg_plugin.IterBasedTrainLoop', max_epochs={loop.max_epochs}, "
            f"val_interval={loop.val_interval}), or sampler=dict(type='DefaultSampler')"
        )


def refuse_unequal_batches(dataloader: DataLoader, model: nn.Module) -> None:
    """Makes sure that samples of one batch have one size, where nothing pads them.

    Looks at a few samples; the first validation may come hours later.

    Raises:
        ConfigError: they differ.
    """
    batch = getattr(dataloader.batch_sampler, 'batch_size', 1)
    preprocessor = getattr(getattr(model, 'module', model), 'data_preprocessor', None)
    if batch == 1 or getattr(preprocessor, 'test_cfg', True):
        return
    dataset: Any = dataloader.dataset
    places = {int(k * (len(dataset) - 1) / (_SAMPLES - 1)) for k in range(_SAMPLES)}
    sizes = {tuple(dataset[k]['inputs'].shape[-2:]) for k in sorted(places)}
    if len(sizes) > 1:
        first, second, *_ = sorted(sizes)
        raise ConfigError(
            f'val_dataloader.batch_size is {batch}, but its images have several sizes, such as '
            f'{first} and {second}: give batch_size=1, or '
            'model.data_preprocessor.test_cfg=dict(size_divisor=32), which pads them'
        )


def save_now(runner, iterations_done: int) -> str:
    """Makes every hook that can save do so; all processes together. Says where, in words."""
    if runner.val_loop is not None and getattr(runner.train_loop, '_kept', None) is not None:
        for hook in runner.hooks:  # within a validation the model has the averaged weights
            if isinstance(hook, EMAHook):
                hook._swap_ema_parameters()
    savers = [hook for hook in runner.hooks if hasattr(hook, 'save') and hasattr(hook, 'last_ckpt')]
    for hook in savers:
        hook.save(runner, iterations_done=iterations_done)
    return f'in {savers[0].last_ckpt}' if savers else 'nowhere (no CheckpointHook of ours)'


def _whole(value: Any, key: str) -> int:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not is_number or value != value or value < 1 or value != int(min(value, 2**53)):
        raise ConfigError(f'{key} is {value!r}: give a whole number above 0')
    return int(value)


def _gathered_gradients(runner) -> list[dict] | None:
    """Gradients of every process by parameter; None where no group of accumulation is open."""
    wrapper = runner.optim_wrapper
    wrappers = wrapper.values() if isinstance(wrapper, OptimWrapperDict) else [wrapper]
    if all(one._accumulative_counts == 1 for one in wrappers):
        return None
    model = getattr(runner.model, 'module', runner.model)
    own = {
        name: parameter.grad.cpu()
        for name, parameter in model.named_parameters()
        if parameter.grad is not None
    }
    parts = all_gather_object(own) if get_world_size() > 1 else [own]
    return parts if any(parts) else None


def _set_gradients(runner, gradients: dict) -> None:
    model = getattr(runner.model, 'module', runner.model)
    for name, parameter in model.named_parameters():
        if name in gradients and gradients[name].shape == parameter.shape:
            parameter.grad = gradients[name].to(parameter)


def lost_worker(where: str) -> str:
    """The sentence for a loading process that was killed; ``where`` says what is saved."""
    return (
        f'a loading process was killed (out of memory?): {where}; lower '
        'train_dataloader.num_workers or free memory, then go on with --resume'
    )


def _is_dead_worker(error: Exception) -> bool:
    """Whether a loading process was killed: the loader says so, or it was in a transfer."""
    if isinstance(error, RuntimeError):
        text = str(error)
        return text.startswith('DataLoader worker') and (
            'exited unexp' in text or 'killed by' in text
        )
    frames, traceback = [], error.__traceback__
    while traceback is not None:
        frames.append(traceback.tb_frame.f_code.co_filename.replace(os.sep, '/'))
        traceback = traceback.tb_next
    return any(x.endswith('utils/data/dataloader.py') for x in frames) and any(
        '/multiprocessing/' in x for x in frames
    )


def _hear_of_dead_workers_here_only() -> None:
    """Takes back the handler with which torch raises wherever the main process happens to be.

    In the middle of an iteration that would leave half-made weights. The loader itself finds out
    that a process is gone when it waits for its next batch.
    """
    if threading.current_thread() is threading.main_thread() and hasattr(signal, 'SIGCHLD'):
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)


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
    has_server = torch.multiprocessing.get_start_method() == 'forkserver'
    dataloader.worker_init_fn = partial(
        _start_worker,
        start=dataloader.worker_init_fn,
        leaving=leaving,
        parent=None if has_server else os.getpid(),
    )


def _start_worker(
    worker_id: int,
    *,
    start: Callable[[int], None] | None,
    leaving: ctypes.c_bool,
    parent: int | None,
) -> None:
    if parent is not None:
        _end_with(parent)
    if start is not None:
        start(worker_id)
    for name in ('SIGINT', 'SIGHUP', 'SIGUSR1'):  # of a whole group: the main process decides
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    signal.signal(
        signal.SIGTERM, lambda *_: os._exit(0) if leaving.value else signal.alarm(WORKER_GRACE)
    )


def _end_with(parent: int) -> None:
    """This process ends with its parent.

    Loading processes look for it themselves, every few seconds, but for ever in vain where it was
    killed while they started.
    """
    if sys.platform == 'linux':
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


class RunningStatistics:
    """Running mean and variance of plain BatchNorm, which every process gathers from its images.

    A validation and the weights of a checkpoint have their averages. A process trains on with its
    own: an average that depends on when a run was saved would round it away from a run that was
    not. With SyncBN the processes agree already, and nothing is sent.

    Args:
        runner: the runner; averaged weights (EMA) have such statistics too.
    """

    def __init__(self, runner) -> None:
        self._runner = runner
        self._own: dict[str, torch.Tensor] = {}  # while the averages are in their places

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """The models have the averages within the block; all processes enter it together."""
        is_outermost = self.enter()
        try:
            yield
        finally:
            if is_outermost:
                self.set_own(self._own)
                self._own = {}

    def enter(self) -> bool:
        """Puts the averages in their places. False: there is nothing to do, or it was done."""
        if get_world_size() == 1 or self._own:
            return False
        statistics = {
            f'{where}{name}.{key}': getattr(module, key)
            for where, model in self._models().items()
            for name, module in model.named_modules()
            if isinstance(module, nn.modules.batchnorm._NormBase)
            and not isinstance(module, nn.SyncBatchNorm)
            for key in ('running_mean', 'running_var')
            if isinstance(getattr(module, key), torch.Tensor)
        }
        if not statistics:
            return False
        self._own = {name: value.clone() for name, value in statistics.items()}
        all_reduce_params(list(statistics.values()), op='mean')
        return True

    def gathered(self) -> list[dict[str, torch.Tensor]] | None:
        """Buffers of every process that differ among them, by name; None where there are none.

        All of them, not only those of BatchNorm: a model may keep what it likes.
        """
        if get_world_size() == 1:
            return None
        own = {name: value.cpu() for name, value in {**self._buffers(), **self._own}.items()}
        digests = all_gather_object({name: _digest(value) for name, value in own.items()})
        differing = [name for name in own if len({part.get(name) for part in digests}) > 1]
        return all_gather_object({name: own[name] for name in differing}) if differing else None

    def set_own(self, values: dict[str, torch.Tensor]) -> None:
        """Gives buffers of this process the values that :meth:`gathered` had of it."""
        for name, buffer in self._buffers().items():
            if name in values and values[name].shape == buffer.shape:
                buffer.copy_(values[name])

    def _models(self) -> dict[str, nn.Module]:
        model = self._runner.model
        models = {'': getattr(model, 'module', model)}
        averaging = [hook for hook in self._runner.hooks if isinstance(hook, EMAHook)]
        for number, hook in enumerate(averaging):
            models[f'EMA {number}: '] = hook.ema_model.module
        return models

    def _buffers(self) -> dict[str, torch.Tensor]:
        return {
            f'{where}{name}': buffer
            for where, model in self._models().items()
            for name, buffer in model.named_buffers()
        }


def _digest(value: torch.Tensor) -> bytes:
    raw = value.contiguous().view(-1).view(torch.uint8).numpy()
    return hashlib.blake2b(raw.tobytes(), digest_size=16).digest()
