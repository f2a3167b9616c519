"""How a training or a test goes, for its reader: header, loss, speed, time left, results."""

import os
import time
from collections.abc import Sequence
from numbers import Real
from typing import Any

import torch
from mmengine.dist import get_world_size
from mmengine.hooks import Hook, LoggerHook
from mmengine.optim import AmpOptimWrapper
from torch import nn

from openseg_plugin.engine.optim.schedulers import BFloat16OptimWrapper
from openseg_plugin.engine.runner.console import Console

_REFRESH = 0.5  # seconds between updates of the live line; each waits for the GPU once
_SPAN = 50  # iterations over which the speed is averaged


class ConsoleHook(Hook):
    """Tells the console how a training or a test goes.

    Args:
        console: where to show it.
        facts: (name, text) lines of the header that are known before the run.
    """

    priority = 'LOWEST'

    def __init__(self, console: Console, facts: Sequence[tuple[str, str]]) -> None:
        self.console = console
        self.facts = list(facts)
        self._started = time.monotonic()
        self._shown = 0.0
        self._times: list[float] = []

    def before_train(self, runner: Any) -> None:
        """Shows the header."""
        model, loader = getattr(runner.model, 'module', runner.model), runner.train_dataloader
        size, world = getattr(loader.batch_sampler, 'batch_size', 1), get_world_size()
        images = f'{size * world} images' + (f' ({world} x {size})' if world > 1 else '')
        val = runner.val_loop
        data = f'{len(loader.dataset)} images to train on'
        data += f', {len(val.dataloader.dataset)} to validate on' if val is not None else ''
        classes = (getattr(loader.dataset, 'metainfo', None) or {}).get('classes') or ()
        lines = [
            ('model', f'{type(model).__name__}, {_parameters(model)}'),
            ('data', f'{data}, {len(classes)} classes'),
            ('device', _device(model, runner.optim_wrapper)),
            ('schedule', f'{runner.max_iters} iterations of {images}'),
            ('start', _start(runner)),
        ]
        self._times = [time.monotonic()]
        self._begin(runner, lines)

    def after_train_iter(
        self,
        runner: Any,
        batch_idx: int,
        data_batch: dict | None = None,
        outputs: dict | None = None,
    ) -> None:
        """Loss, learning rate, speed and the time that is left."""
        now = time.monotonic()
        self._times = [*self._times[-_SPAN:], now]
        done = runner.iter + 1
        if self.console.is_live:
            if now - self._shown < _REFRESH:
                return
        elif done % _interval(runner) and done != runner.max_iters:
            return
        self._shown = now
        line = self._line(runner, done, outputs or {})
        if self.console.is_live:
            self.console.progress(line, done=done, total=runner.max_iters)
        else:
            self.console.say(line)

    def _line(self, runner: Any, done: int, outputs: dict) -> str:
        seconds = (self._times[-1] - self._times[0]) / max(len(self._times) - 1, 1)
        size = getattr(runner.train_dataloader.batch_sampler, 'batch_size', 1)
        speed = size * get_world_size() / max(seconds, 1e-9)
        rates = runner.optim_wrapper.get_lr()  # 'base_lr' beside 'lr' after a scaling to the batch
        rate = (rates['lr'] if 'lr' in rates else next(iter(rates.values())))[0]
        if isinstance(rate, list):
            rate = rate[0]
        loss = outputs.get('loss')
        shown = '' if loss is None else f'  loss {float(loss):.4f}'
        return (
            f'iteration {done}/{runner.max_iters}{shown}  lr {rate:.3g}  {speed:.1f} images/s  '
            f'ETA {_clock(seconds * (runner.max_iters - done))}'
        )

    def after_val_iter(
        self,
        runner: Any,
        batch_idx: int,
        data_batch: dict | None = None,
        outputs: Sequence | None = None,
    ) -> None:
        """How far a validation is."""
        self._batch(runner, 'validating', batch_idx, len(runner.val_dataloader))

    def after_val_epoch(self, runner: Any, metrics: dict[str, float] | None = None) -> None:
        """What a validation found."""
        self._times = [time.monotonic()]  # its time is none of the training's
        shown = [f'{k} {v:.2f}' for k, v in (metrics or {}).items() if isinstance(v, Real)]
        best = str(runner.message_hub.runtime_info.get('best_ckpt') or '')
        now = (f'iter_{runner.iter}', f'epoch_{runner.epoch}')
        is_best = os.path.splitext(best)[0].endswith(now)
        self.console.say(
            f'validation after iteration {runner.iter}: {"  ".join(shown)}'
            f'{"  (best so far)" if is_best else ""}'
        )

    def after_train(self, runner: Any) -> None:
        """The end."""
        self.console.stop()
        last = runner.message_hub.runtime_info.get('last_ckpt')
        where = f', {last}' if last else ''
        seconds = time.monotonic() - self._started
        self.console.say(f'trained to iteration {runner.iter} in {_clock(seconds)}{where}')

    def before_test(self, runner: Any) -> None:
        """Shows the header of a test."""
        model = getattr(runner.model, 'module', runner.model)
        dataset = runner.test_dataloader.dataset
        lines = [
            ('model', type(model).__name__),
            ('data', f'{len(dataset)} images'),
            ('device', _device(model, None)),
        ]
        self._begin(runner, lines)

    def after_test_iter(
        self,
        runner: Any,
        batch_idx: int,
        data_batch: dict | None = None,
        outputs: Sequence | None = None,
    ) -> None:
        """How far the test is."""
        self._batch(runner, 'tested', batch_idx, len(runner.test_dataloader))
        if batch_idx + 1 == len(runner.test_dataloader):
            self.console.stop()

    def _begin(self, runner: Any, lines: Sequence[tuple[str, str]]) -> None:
        """The header: what was known before, ``lines``, and where things are written."""
        places = [('work folder', runner.work_dir), ('log', self.console.log_file)]
        header = [*self.facts, *lines, *places]
        self.console.begin([f'{name:12} {text}' for name, text in header])

    def _batch(self, runner: Any, text: str, batch_idx: int, total: int) -> None:
        now, done = time.monotonic(), batch_idx + 1
        if not self.console.is_live:
            if done % _interval(runner) == 0:
                self.console.say(f'{text} {done}/{total}')
        elif now - self._shown >= _REFRESH:
            self._shown = now
            self.console.progress(f'{text} {done}/{total}', done=done, total=total)


def _parameters(model: nn.Module) -> str:
    total = sum(one.numel() for one in model.parameters())
    trained = sum(one.numel() for one in model.parameters() if one.requires_grad)
    frozen = '' if trained == total else f', {trained / 1e6:.2f} M of them trained'
    return f'{total / 1e6:.2f} M parameters{frozen}'


def _device(model: nn.Module, wrapper: Any) -> str:
    first = next(model.parameters(), None)  # an exported file has none
    device = torch.device('cpu') if first is None else first.device
    name = f'{torch.get_num_threads()} threads'
    if device.type == 'cuda':
        name = torch.cuda.get_device_name(device)
    is_mixed = isinstance(wrapper, (AmpOptimWrapper, BFloat16OptimWrapper))
    precision = 'mixed precision' if is_mixed else ''
    processes = f'{get_world_size()} processes' if get_world_size() > 1 else ''
    return ', '.join(filter(None, (f'{device} ({name})', processes, precision)))


def _start(runner: Any) -> str:
    if runner._resume and runner._load_from:
        return f'resumed from {runner._load_from} at iteration {runner.iter}'
    if runner._load_from:
        return f'weights of {runner._load_from}'
    init = (runner.cfg.model.get('backbone') or {}).get('init_cfg') or {}
    checkpoint = init.get('checkpoint') if isinstance(init, dict) else None
    return f'backbone of {checkpoint}' if checkpoint else 'from scratch'


def _interval(runner: Any) -> int:
    return next((h.interval for h in runner.hooks if isinstance(h, LoggerHook)), _SPAN)


def _clock(seconds: float) -> str:
    """1:02:03 for 3723 seconds."""
    whole = round(seconds)
    return f'{whole // 3600}:{whole // 60 % 60:02}:{whole % 60:02}'
