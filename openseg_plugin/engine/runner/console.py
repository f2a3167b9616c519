"""What a reader of the terminal sees of a run; the log file has everything.

A few lines say what runs, where, on what data and device. Then one line is kept up to date, or
lines follow one another where no terminal reads them. The environment, the config, the hooks and
the warnings of libraries are in the log file alone.
"""

import io
import logging
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from types import FrameType
from typing import TYPE_CHECKING, Any, TextIO

from mmengine.config import Config
from mmengine.dist import get_rank
from mmengine.logging import print_log
from mmengine.runner import Runner
from mmseg.registry import RUNNERS
from torch import nn

from openseg_plugin.engine.runner.speed import in_fast_memory_format
from openseg_plugin.errors import ConfigError

_MAX_NOTES = 12  # lines of notes and warnings before the first iteration
_MAX_FOREIGN = 300  # characters of what a library warns of
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
        frozen = self.cfg.get('frozen_parts') or ()
        freeze(model, [frozen] if isinstance(frozen, str) else frozen)
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
