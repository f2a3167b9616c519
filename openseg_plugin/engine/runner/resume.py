"""From which checkpoint of a work folder a run goes on, and what its config has changed since.

A work folder belongs to one training at a time: it is locked.
"""

import copy
import errno
import logging
import os
import re
import socket
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import torch
from mmengine.logging import print_log
from mmengine.optim import OptimWrapper, OptimWrapperDict
from torch import nn
from torch.optim import Optimizer

from openseg_plugin.compat import checkpoints_are_trusted
from openseg_plugin.converters.checkpoints import read_checkpoint
from openseg_plugin.engine.distributed.process_group import run_on_main
from openseg_plugin.errors import CheckpointError, ConfigError
from openseg_plugin.utils.random_state import preserve_rng_state

# of a schedule: what changes while it runs, or follows from other settings
_COUNTERS = {
    *('last_step', 'base_values', 'total_iters', 'verbose'),
    *('best', 'num_bad_epochs', 'cooldown_counter'),
}
_SETTINGS = (bool, int, float, str, list, tuple, dict)
_LONGEST_PATH = 1 << 14
# of a training by epochs that was told to end within one; it cannot go on there, so this is the
# last resort. A name of its own: none of the planned checkpoints is deleted with it.
INTERRUPTED = 'interrupted_iter_{}.pth'
TEMPLATES = ('iter_{}.pth', 'epoch_{}.pth', INTERRUPTED)


def checkpoint_folder(work_dir: str, out_dir: str | None) -> str:
    """Folder of the checkpoints of a run; with ``out_dir`` one of the work folder's name in it."""
    if out_dir is None or os.path.abspath(out_dir) == os.path.abspath(work_dir):
        return work_dir
    return os.path.join(out_dir, os.path.basename(os.path.abspath(work_dir)))


def newest_readable(folder: str, *, template: str = TEMPLATES[0]) -> str | None:
    """The checkpoint of ``folder`` with the most iterations that can be read; None without any.

    Args:
        folder: of the checkpoints; nothing outside of it is used, whatever ``last_checkpoint``
            says.
        template: name of a checkpoint, ``{}`` for its number.

    Raises:
        CheckpointError: there are checkpoints, but none can be read.
    """
    reasons = []
    for path in resumable(folder, template=template):
        try:
            read_checkpoint(path, trust=checkpoints_are_trusted())
        except (CheckpointError, OSError) as error:
            reasons.append(f'{path}: {error}')
            continue
        for reason in reasons:
            print_log(f'passed over a damaged checkpoint, {reason}', 'current', logging.WARNING)
        return path
    if reasons:
        raise CheckpointError(
            f'none of the {len(reasons)} checkpoints in {folder} can be read ({reasons[0]}): '
            'start afresh without --resume in another --work-dir'
        )
    return None


def _number(path: Path, *, template: str) -> int:
    """The iteration in a file's name, which is one of ``template``."""
    number = number_of(path.name, template)
    assert number is not None, 'found by the template'
    return number


def resumable(folder: str, *, template: str = TEMPLATES[0]) -> list[str]:
    """Checkpoints of the folder with the state of training, most iterations first."""
    found: list[Path] = []
    for one in dict.fromkeys((template, *TEMPLATES)):
        found += sorted(
            numbered(folder, template=one),
            key=partial(_number, template=one),
            reverse=True,
        )
    pointer = Path(folder, 'last_checkpoint')
    if pointer.is_file():  # a checkpoint of another name; its folder may be another's by now
        # other characters than those of a name, or very many, are no name
        text = pointer.read_bytes()[:_LONGEST_PATH].decode(errors='replace').strip()
        named = Path(folder, os.path.basename(text))
        if named not in found and os.path.exists(folder) and named.name in os.listdir(folder):
            found.append(named)
    return [str(path) for path in found]


def numbered(folder: str, *, template: str) -> list[Path]:
    """Files of the folder that are called as ``template`` says, in no order."""
    return [path for path in Path(folder).glob('*') if number_of(path.name, template) is not None]


def number_of(name: str, template: str) -> int | None:
    """7 for 'iter_7.pth' and 'iter_{}.pth'; None for a name of another kind."""
    before, after = re.split(r'\{[^{}]*\}', template, maxsplit=1)
    match = re.fullmatch(rf'{re.escape(before)}(\d+){re.escape(after)}', name)
    return int(match[1]) if match else None


def require_training_state(checkpoint: dict, *, source: str) -> None:
    """Makes sure that a training can go on from a checkpoint.

    Raises:
        CheckpointError: it holds weights, but not the state of a training, or a count that is none.
    """
    meta = checkpoint.get('meta')
    lacking = {'message_hub', 'optimizer'} - checkpoint.keys()
    if lacking or not isinstance(meta, dict) or 'iter' not in meta:
        raise CheckpointError(
            f'{source} holds no training to go on with, only weights (so do the '
            'best_*.pth files): resume from an iter_*.pth, or start from it with '
            '--cfg-options load_from=PATH'
        )
    for key in ('iter', 'epoch'):
        count = meta.get(key, 0)
        if isinstance(count, bool) or not isinstance(count, int) or not 0 <= count < 2**53:
            raise damaged(source, f'meta.{key} is {count!r:.50}')


def damaged(source: str, reason: object) -> CheckpointError:
    """The error for a checkpoint whose training state is not as anybody writes it."""
    kind = f'{type(reason).__name__}: ' if isinstance(reason, Exception) else ''
    text = ' '.join(str(reason).split())[:200]
    return CheckpointError(
        f'{source} holds a damaged state of a training ({kind}{text}): resume from another '
        'checkpoint, or start from its weights alone with --cfg-options load_from=PATH'
    )


def check_optimizer(
    checkpoint: dict, wrapper: OptimWrapper, model: nn.Module, *, source: str
) -> list[str]:
    """Says where the config's optimizer differs from that of the checkpoint, whose values win.

    Args:
        checkpoint: with 'optimizer', and 'openseg_plugin_loop' where we wrote it.
        wrapper: built from the config, not resumed yet.
        model: whose parameters it changes; their names are in the messages.
        source: name of the checkpoint.

    Returns:
        One clause for each value that differs, such as 'lr is 0.01 there and 0.1 in the config'.

    Raises:
        CheckpointError: it is another optimizer, its groups hold other parameters, or what it
            keeps of a parameter does not fit it.
    """
    names = (checkpoint.get('openseg_plugin_loop') or {}).get('optimizers') or {}
    clauses: list[str] = []
    for key, optimizer, saved in _pairs(checkpoint['optimizer'], wrapper):
        own = optimizer.state_dict()['param_groups']
        groups = saved['param_groups']
        kind, now = names.get(key), type(optimizer).__name__
        lacking = sorted(set(optimizer.defaults) - set(groups[0] if groups else ()))
        if kind not in (None, now) or lacking:
            raise CheckpointError(
                f'{source} was trained with {kind or "another optimizer"} and the config has '
                f'{now}: set optim_wrapper.optimizer as it was, or start from its weights alone '
                'with --cfg-options load_from=PATH'
            )
        sizes, own_sizes = ([len(g['params']) for g in part] for part in (groups, own))
        if sizes != own_sizes:
            raise CheckpointError(
                f'{source} has parameter groups of {sizes} tensors and the config makes '
                f'{own_sizes}: set optim_wrapper.constructor and paramwise_cfg as they were, or '
                'start from its weights alone with --cfg-options load_from=PATH'
            )
        _check_moments(optimizer, saved, model, source=source)
        clauses += _different(groups, own)
    return clauses


def _check_moments(optimizer: Optimizer, saved: dict, model: nn.Module, *, source: str) -> None:
    """Makes sure that the optimizer can go on with what it has kept of every parameter.

    It decides itself: what a first step would make otherwise is refused if a step fails on it.
    """
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    first: dict[tuple, dict] = {}
    for number, (group, own) in enumerate(
        zip(saved['param_groups'], optimizer.param_groups, strict=True)
    ):
        options = {k: v for k, v in {**own, **group}.items() if k != 'params'}
        for index, parameter in zip(group['params'], own['params'], strict=True):
            state = saved['state'].get(index)
            if not state:
                continue
            name = names.get(id(parameter), f'parameter {index}')
            if not isinstance(state, dict):
                raise damaged(source, f'the state of {name} is {state!r:.50}')
            kind = (number, parameter.shape, parameter.dtype)
            if kind not in first:
                first[kind] = _stepped(optimizer, options, parameter, {})[0]
            misfits = [
                (key, getattr(state.get(key), 'shape', None))
                for key, value in first[kind].items()
                if isinstance(value, torch.Tensor) and value.dim()
                if getattr(state.get(key), 'shape', None) != value.shape
            ]
            if misfits and not _stepped(optimizer, options, parameter, state)[1]:
                key, shape = misfits[0]
                has = f'is of shape {tuple(shape)}' if shape is not None else 'is missing'
                raise damaged(
                    source,
                    f'{key} of {name} {has}, and the parameter is of {tuple(parameter.shape)}',
                )


def _stepped(
    optimizer: Optimizer, options: dict, parameter: torch.Tensor, state: dict
) -> tuple[dict, bool]:
    """The state after a step from ``state`` on a copy of the parameter; whether it came to one.

    Empty if not: some optimizers want a closure, or sparse gradients.
    """
    if any(isinstance(value, Optimizer) for value in vars(optimizer).values()):
        return {}, False  # it would step that one too
    copied = parameter.detach().clone().requires_grad_()
    copied.grad = torch.ones_like(copied)
    trial = object.__new__(type(optimizer))
    trial.__dict__.update(vars(optimizer))
    trial.__dict__.pop('step', None)  # that of the schedules counts
    for hooks in ('_optimizer_step_pre_hooks', '_optimizer_step_post_hooks'):
        setattr(trial, hooks, {})
    trial.state = defaultdict(dict)
    if state:
        trial.state[copied] = {
            key: value.to(copied.device, copy=True) if isinstance(value, torch.Tensor) else value
            for key, value in state.items()
        }
    with preserve_rng_state():
        try:
            trial.param_groups = [{**copy.deepcopy(options), 'params': [copied]}]
            trial.step()
        except Exception:  # whatever an optimizer, which may be anybody's, makes of it
            return {}, False
    return trial.state[copied], True


def check_schedulers(checkpoint: dict, schedulers: Any, *, source: str) -> list[str]:
    """Says which settings of the config's schedules give way to those of the checkpoint.

    Args:
        checkpoint: with 'param_schedulers', and 'openseg_plugin_loop' where we wrote it.
        schedulers: of the runner, built from the config, not resumed yet.
        source: name of the checkpoint.

    Returns:
        One clause for each value that differs, such as 'param_scheduler.0.gamma is 0.1 there and
        0.5 in the config'.

    Raises:
        CheckpointError: there are other schedules.
    """
    own, saved = _flat(schedulers), _flat(checkpoint.get('param_schedulers'))
    if 'param_schedulers' not in checkpoint:
        return ['it holds no schedules, so those of the config begin afresh'] if own else []
    now = scheduler_names(schedulers)
    names = (checkpoint.get('openseg_plugin_loop') or {}).get('schedulers')
    if len(own) != len(saved) or names not in (None, now):
        before = f'{len(saved)} schedules' if names is None else ', '.join(names)
        raise CheckpointError(
            f'{source} was trained with {before or "no schedule"} and the config has '
            f'{", ".join(now) or "no schedule"}: set param_scheduler as it was, or start from its '
            'weights alone with --cfg-options load_from=PATH'
        )
    clauses = []
    for number, (scheduler, state) in enumerate(zip(own, saved, strict=True)):
        last, kind = state.get('last_step', 0), type(scheduler)
        if not isinstance(last, int) or any(callable(getattr(kind, key, None)) for key in state):
            raise damaged(source, f'param_scheduler.{number} is not as it was written')
        trial = copy.copy(scheduler)
        trial.load_state_dict(state)  # ours keep the shape of the config's curve
        for key, here in vars(scheduler).items():
            there = getattr(trial, key)
            is_setting = not key.startswith('_') and key not in _COUNTERS
            if is_setting and isinstance(here, _SETTINGS) and _plain(there) != _plain(here):
                name = f'param_scheduler.{number}.{key}'
                clauses.append(f'{name} is {there} there and {here} in the config')
    return clauses


def scheduler_names(schedulers: Any) -> list[str]:
    """Class of every schedule, in their order."""
    return [type(one).__name__ for one in _flat(schedulers)]


def _flat(schedulers: Any) -> list[Any]:
    """Schedules as a list; there may be none, or some for each of several optimizers."""
    if isinstance(schedulers, dict):
        return [one for part in schedulers.values() for one in part]
    return list(schedulers or ())


def optimizer_names(wrapper: OptimWrapper) -> dict[str, str]:
    """Class of every optimizer, by its key ('' where there is one)."""
    return {key: type(one.optimizer).__name__ for key, one in _wrappers(wrapper)}


def learning_rates(wrapper: OptimWrapper) -> list[list[float]]:
    """Rate at which each group of each optimizer begins."""
    return [
        [group.get('initial_lr', group['lr']) for group in one.optimizer.param_groups]
        for _, one in _wrappers(wrapper)
    ]


def set_learning_rates(runner: Any, rates: Sequence[Sequence[float]]) -> None:
    """Gives a resumed run other rates to begin from; the schedules go on from where they are."""
    schedulers = _flat(runner.param_schedulers)
    for (_, wrapper), own in zip(_wrappers(runner.optim_wrapper), rates, strict=True):
        optimizer = wrapper.optimizer
        for group, rate in zip(optimizer.param_groups, own, strict=True):
            before = group.get('initial_lr', group['lr'])
            group['lr'] = group['lr'] * rate / before if before else rate
            if 'initial_lr' in group:
                group['initial_lr'] = rate
        for scheduler in schedulers:
            if getattr(scheduler.optimizer, 'optimizer', scheduler.optimizer) is not optimizer:
                continue
            if scheduler.param_name == 'lr':
                _restart(scheduler, list(own))


def _restart(scheduler: Any, rates: list[float]) -> None:
    scheduler.base_values = rates
    groups = scheduler.optimizer.param_groups
    if getattr(scheduler, 'is_closed_form', False):  # exact; the others go on from the ratio
        for group, value in zip(groups, scheduler._get_value(), strict=True):
            group['lr'] = value
    scheduler._last_value = [group['lr'] for group in groups]


def _wrappers(wrapper: OptimWrapper) -> list[tuple[str, OptimWrapper]]:
    if isinstance(wrapper, OptimWrapperDict):
        return list(wrapper.items())
    return [('', wrapper)]


def _pairs(saved: dict, wrapper: OptimWrapper) -> list[tuple[str, Optimizer, dict]]:
    """Key, optimizer and saved state of each optimizer that both know."""
    return [
        (key, one.optimizer, state)
        for key, one in _wrappers(wrapper)
        if 'param_groups' in (state := saved.get(key, {}) if key else saved)
    ]


def _different(saved: Sequence[dict], own: Sequence[dict]) -> list[str]:
    clauses: dict[str, Any] = {}
    for before, now in zip(saved, own, strict=True):
        rates = [group.get('initial_lr', group['lr']) for group in (before, now)]
        pairs = {'lr': rates}
        for key in now:
            if key not in ('params', 'lr', 'initial_lr') and key in before:
                pairs[key] = [before[key], now[key]]
        for key, (there, here) in pairs.items():
            if _plain(there) != _plain(here):
                clauses.setdefault(key, f'{key} is {there} there and {here} in the config')
    return list(clauses.values())


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, (list, tuple)) else value


try:
    import fcntl
except ImportError:  # Windows: two trainings in one folder are not noticed there
    fcntl = None  # type: ignore[assignment]  # a module otherwise

LOCK_NAME = '.lock'
_held: dict[str, int] = {}  # folder -> open lock file of this process


@contextmanager
def locked(folder: str) -> Iterator[None]:
    """The folder is this training's within the block; all processes call it together.

    Raises:
        ConfigError: another training has it.
    """
    run_on_main(lambda: lock(folder))
    try:
        yield
    finally:
        unlock(folder)


def lock(folder: str) -> None:
    """Makes the folder this process's own until :func:`unlock` or its end, however it ends.

    A POSIX record lock: the system releases it with the process, and it holds between machines
    where the network file system passes locks on. A second call does nothing.

    Raises:
        ConfigError: another process has it; names host and process.
    """
    folder = os.path.realpath(folder)
    if folder in _held or fcntl is None:
        return
    os.makedirs(folder, exist_ok=True)
    path = os.path.join(folder, LOCK_NAME)
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            owner = os.pread(descriptor, 200, 0).decode(errors='replace').strip()
            os.close(descriptor)
            if error.errno in (errno.EACCES, errno.EAGAIN):
                raise ConfigError(
                    f'another training ({owner or "just started"}) runs in {folder}: end it, or '
                    'give this one another --work-dir'
                ) from error
            print_log(f'{folder} cannot be locked ({error}): start no second training in it')
            return
        if _is_file(descriptor, path):
            break
        os.close(descriptor)  # the other one removed it in between
    owner = f'host {socket.gethostname()}, process {os.getpid()}, since {datetime.now():%F %T}\n'
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, owner.encode(), 0)
    _held[folder] = descriptor


def unlock(folder: str) -> None:
    """Gives the folder back, if this process has it."""
    folder = os.path.realpath(folder)
    descriptor = _held.pop(folder, None)
    if descriptor is None:
        return
    path = os.path.join(folder, LOCK_NAME)
    if _is_file(descriptor, path):
        os.unlink(path)  # before the lock goes, so that nobody's lock is removed
    os.close(descriptor)


def _is_file(descriptor: int, path: str) -> bool:
    """Whether an open file is still the one of this name."""
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    except FileNotFoundError:
        return False
