"""What a reader of the terminal sees of a run; the log file has everything.

A few lines say what runs, where, on what data and device. Then one line is kept up to date, or
lines follow one another where no terminal reads them. The environment, the config, the hooks and
the warnings of libraries are in the log file alone.
"""

import io
import logging
import os
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from numbers import Real
from types import FrameType
from typing import TYPE_CHECKING, Any, TextIO

import torch
from mmengine.config import Config
from mmengine.dist import get_rank, get_world_size
from mmengine.hooks import Hook, LoggerHook
from mmengine.logging import print_log
from mmengine.runner import Runner
from mmseg.registry import RUNNERS
from torch import nn

from openseg_plugin.engine.runner.speed import in_fast_memory_format
from openseg_plugin.errors import ConfigError

_REFRESH = 0.5  # seconds between updates of the live line; each waits for the GPU once
_MAX_NOTES = 12  # lines of notes and warnings before the first iteration
_MAX_FOREIGN = 300  # characters of what a library warns of
_SPAN = 50  # iterations over which the speed is averaged
_RESULTS = ('openseg_plugin.evaluation', 'openseg_plugin.segfix', 'mmseg.evaluation')
_OWN = ('openseg_plugin.engine', 'openseg_plugin.data_checks', *_RESULTS[:2])
# said by mmengine to everybody, or by the header in other words
_NOISE = (
    'The prefix is not set',
    '"FileClient" will be deprecated',
    '"HardDiskBackend" is the alias',
    'checkpoints go to',
    'best ',
    'Failed to search registry',
    'load checkpoint from',
)


class Console:
    """The terminal of a run; use it as a context manager around everything that the run does.

    Args:
        is_test: a test, whose tables of results are shown as they are.
        stream: where to print; stdout by default.
    """

    current: 'Console | None' = None  # of the run under way

    def __init__(self, *, is_test: bool = False, stream: TextIO | None = None) -> None:
        self.is_test = is_test
        self.is_main = get_rank() == 0 and os.environ.get('RANK', '0') == '0'
        self.log_file = ''
        self._notes: list[str] = []
        self._hidden = 0
        self._has_begun = False
        self._held: list[logging.LogRecord] = []
        self._files: list[logging.Handler] = []
        self._taken: list[logging.StreamHandler] = []
        self._stdout = stream or sys.stdout
        self._printed = _ToLog(self)
        self._live: Any = None
        self._task: Any = None

    @contextmanager
    def reading(self) -> Iterator['Console']:
        """Within the block, only what this console prints reaches the terminal."""
        handler = _ToFiles(self)
        warnings = logging.getLogger('py.warnings')
        before, warnings.propagate = (list(warnings.handlers), warnings.propagate), False
        warnings.handlers = [handler]
        logging.captureWarnings(True)
        Console.current = self
        try:
            with redirect_stdout(self._printed):
                yield self
        finally:
            Console.current = None
            self.stop()
            logging.captureWarnings(False)
            warnings.handlers, warnings.propagate = before
            for one in self._taken:  # mmengine keeps its logger: what comes next in this process
                one.removeFilter(self._show)
                one.stream = sys.stdout

    def take(self, logger: logging.Logger, log_file: str) -> None:
        """Stands between a logger of mmengine and the terminal."""
        self.log_file = log_file
        self._files = [one for one in logger.handlers if isinstance(one, logging.FileHandler)]
        for one in logger.handlers:
            if isinstance(one, logging.StreamHandler) and one not in self._files:
                # setStream would flush that of an earlier run, which may be closed
                one.stream = self._stdout
                if self.is_main:
                    one.addFilter(self._show)
                self._taken.append(one)
        for record in self._held:
            self.to_log(record)
        self._held.clear()

    def to_log(self, record: logging.LogRecord) -> None:
        """Puts a record into the log file, once there is one."""
        if not self.log_file:
            self._held.append(record)
        for one in self._files:
            one.handle(record)

    def _show(self, record: logging.LogRecord) -> bool:
        """Prints what is for a reader; False: the stream handler prints nothing."""
        origin = _origin()
        text = record.getMessage().strip()
        is_result = self.is_test and origin.startswith(_RESULTS)
        is_wanted = record.levelno >= logging.WARNING or origin.startswith(_OWN)
        # a table per validation belongs to the log; a training says its means in one line
        is_table = not is_result and '\n' in text and origin.startswith(_RESULTS)
        if text.startswith(_NOISE) or is_table or not (is_result or is_wanted):
            return False
        kind = 'warning: ' if record.levelno == logging.WARNING else ''
        kind = 'error: ' if record.levelno > logging.WARNING else kind
        if not is_result:
            most = None if origin.startswith('openseg_plugin') else _MAX_FOREIGN
            text = f'{kind}{" ".join(text.split())[:most]}'
        self.say(text)
        return False

    def say(self, line: str) -> None:
        """Prints a line; before the first iteration it waits for the header."""
        if not self.is_main:
            return
        if not self._has_begun:
            self._notes.append(line)
        elif self._live is not None:
            self._live.console.print(line, markup=False, highlight=False, soft_wrap=True)
        else:
            print(line, file=self._stdout, flush=True)

    def begin(self, header: Sequence[str]) -> None:
        """Shows what runs, and what was noted until now; from here on prints reach the terminal."""
        if self._has_begun:
            return
        self._has_begun = True
        self._printed.target = self._stdout
        for line in (*header, *self._notes[:_MAX_NOTES]):
            self.say(line)
        if len(self._notes) > _MAX_NOTES:
            self.say(f'{len(self._notes) - _MAX_NOTES} more notes are in the log')

    def progress(self, text: str, *, done: int, total: int) -> None:
        """Brings the live line up to date; nothing where no terminal reads it."""
        if not (self.is_main and self._has_begun and self._stdout.isatty()):
            return
        if self._live is None:
            self._live = _make_live(self._stdout)
            self._task = self._live.add_task('', total=total)
            self._live.start()
        self._live.update(self._task, description=text, completed=done, total=total, refresh=True)

    @property
    def is_live(self) -> bool:
        """Whether a terminal reads, so that one line can be kept up to date."""
        return self._stdout.isatty()

    def stop(self) -> None:
        """Ends the live line; an error that comes now is the last thing on the terminal."""
        if self._live is not None:
            self._live.stop()
            self._live = None


def note(text: str) -> None:
    """Says something about the run that is about to begin, to its console or as a print."""
    if Console.current is None:
        print_log(text)
        return
    Console.current.say(text)
    record = logging.LogRecord('note', logging.INFO, '', 0, text, None, None)
    Console.current.to_log(record)


class _ToFiles(logging.Handler):
    """Hands what the warnings module says to the log file."""

    def __init__(self, console: Console) -> None:
        super().__init__()
        self.console = console

    def emit(self, record: logging.LogRecord) -> None:
        self.console.to_log(record)


class _ToLog(io.TextIOBase):
    """In place of stdout: what libraries print goes to the log file until ``target`` is set."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.target: Any = None

    def write(self, text: str) -> int:
        if self.target is not None:
            return self.target.write(text)
        if text.strip():
            record = logging.LogRecord('print', logging.INFO, '', 0, text.rstrip(), None, None)
            self.console.to_log(record)
        return len(text)

    def flush(self) -> None:
        if self.target is not None:
            self.target.flush()

    def isatty(self) -> bool:
        return self.target is not None and self.target.isatty()

    def fileno(self) -> int:
        return self.console._stdout.fileno()


def _origin() -> str:
    """Name of the module that logs, behind the functions of logging and of mmengine."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        name = frame.f_globals.get('__name__', '')
        if name != __name__ and not name.startswith(('logging', 'mmengine.logging')):
            return name
        frame = frame.f_back
    return ''


def _make_live(stream: Any) -> Any:
    from rich.console import Console as RichConsole
    from rich.progress import BarColumn, Progress, TextColumn

    columns = (TextColumn('{task.description}', markup=False), BarColumn(bar_width=20))
    console = RichConsole(file=stream)
    return Progress(
        *columns, console=console, auto_refresh=False, transient=True, redirect_stdout=False
    )


if TYPE_CHECKING:  # the mixin is put before a runner
    from mmengine.runner import Runner as _Runner
else:
    _Runner = object


class _ConsoleMixin(_Runner):
    """For a runner: its logger speaks to the console, frozen parts of its model stay, and the model
    is laid out as it trains fastest.
    """

    openseg_console: Console | None = None

    def build_logger(self, *arguments: Any, **options: Any) -> Any:
        logger = super().build_logger(*arguments, **options)
        if self.openseg_console is not None:
            self.openseg_console.take(logger, logger._log_file or '')
        return logger

    def dump_config(self) -> None:
        """As mmengine's, but never over the file that was read."""
        read = self.cfg.filename
        place = os.path.join(self.work_dir, os.path.basename(read or ''))
        if read and os.path.abspath(read) == os.path.abspath(place):
            name, end = os.path.splitext(read)
            object.__setattr__(self.cfg, '_filename', f'{name}_merged{end}')
        super().dump_config()
        object.__setattr__(self.cfg, '_filename', read)

    def wrap_model(self, model_wrapper_cfg: dict | None, model: nn.Module) -> nn.Module:
        # before DistributedDataParallel asks which parameters have gradients
        freeze(model, self.cfg.get('frozen_parts') or ())
        return super().wrap_model(model_wrapper_cfg, in_fast_memory_format(model, self.cfg))


def make_runner(cfg: Config, console: Console | None) -> Runner:
    """The runner that the config names (mmengine's by default), with this console."""
    kind = cfg.pop('runner_type', None)
    base = Runner if kind is None else RUNNERS.get(kind)
    if base is None:
        raise ConfigError(f'runner_type is {kind!r}: there is no such runner')
    made: Any = type(base.__name__, (_ConsoleMixin, base), {'openseg_console': console})
    return made.from_cfg(cfg)


def freeze(model: nn.Module, names: Sequence[str]) -> None:
    """Trains the parts of these names no further; their BatchNorm and dropout stay as in a test.

    Raises:
        ConfigError: the model has no such part.
    """
    for name in names:
        try:
            part = model.get_submodule(name)
        except AttributeError as error:
            known = ', '.join(child for child, _ in model.named_children())
            raise ConfigError(
                f'--freeze {name}: the model has no such part; it has {known}'
            ) from error
        part.requires_grad_(False)
        for module in part.modules():
            module.train(False)
            # of this module alone
            module.train = _stay.__get__(module)  # type: ignore[method-assign]
    if names and not any(one.requires_grad for one in model.parameters()):
        raise ConfigError(f'--freeze {" ".join(names)} leaves nothing to train')


def _stay(module: nn.Module, mode: bool = True) -> nn.Module:
    return module


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
        self._begun_at = 0

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
            *self.facts,
            ('model', f'{type(model).__name__}, {_parameters(model)}'),
            ('data', f'{data}, {len(classes)} classes'),
            ('device', _device(model, runner.optim_wrapper)),
            ('schedule', f'{runner.max_iters} iterations of {images}'),
            ('start', _start(runner)),
            ('work folder', runner.work_dir),
            ('log', self.console.log_file),
        ]
        self._begun_at, self._times = runner.iter, [time.monotonic()]
        self.console.begin([f'{name:12} {text}' for name, text in lines])

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
        rate = next(iter(runner.optim_wrapper.get_lr().values()))[0]
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
            *self.facts,
            ('model', type(model).__name__),
            ('data', f'{len(dataset)} images'),
            ('device', _device(model, None)),
            ('work folder', runner.work_dir),
            ('log', self.console.log_file),
        ]
        self.console.begin([f'{name:12} {text}' for name, text in lines])

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
    precision = 'mixed precision' if 'Amp' in type(wrapper).__name__ else ''
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
