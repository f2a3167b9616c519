"""How every command line tool starts and fails.

A tool is ``sys.exit(run('its.module'))``: a mistake of the user costs one sentence on stderr and
exit status 2, never a wall of traceback; ``--debug`` shows where it came from.
"""

import argparse
import contextlib
import difflib
import errno
import importlib
import json
import logging
import math
import os
import re
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from openseg_plugin import __version__, compat
from openseg_plugin.cli.parser import folder, folder_path
from openseg_plugin.config.building import config_key, unknown_option, was_running
from openseg_plugin.errors import ConfigError, DependencyError, UserError

EXIT_ERROR = 1
EXIT_USER_ERROR = UserError.exit_status
EXIT_INTERRUPTED = 130  # what a shell reports for Ctrl-C: 128 + SIGINT
EXIT_BROKEN_PIPE = 141  # 128 + SIGPIPE
SECONDS_FOR_PROCESS_0 = 3
_MAY_BE_FILES = (None, str, Path, folder, folder_path)  # types of arguments

# of torch, about a convolution
_OTHER_CHANNELS = re.compile(r'expected input\[.*\] to have (\d+) channels, but got (\d+) channels')
_DISK_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


# verb -> (module with its ``main``, what it does); a module is imported when its verb is chosen
VERBS = {
    'train': ('train', 'train what a config describes'),
    'test': ('test', 'evaluate a checkpoint on the test set of a config'),
    'predict': ('predict', 'predict images, folders and videos with a checkpoint'),
    'serve': ('serve', 'answer images over HTTP, and show a page to drop them on'),
    'report': ('report', 'page of a test, or what differs between several'),
    'curves': ('curves', 'losses, metrics and speed of trainings'),
    'export': ('export', 'write a model as one checked file for another runtime'),
    'segfix': ('segfix', 'refine label maps of any tool at their boundaries'),
    'configure': ('configure', 'write a config for your own data, with reasons'),
    'convert-dataset': ('convert_dataset', 'bring a release or own annotations to one layout'),
    'check-dataset': ('check_dataset', 'validate the labels, and say what fixes them'),
    'browse-dataset': ('browse_dataset', 'show samples as the network sees them'),
    'weights': ('weights', 'list, show, get and convert published weight files'),
    'config': ('config', 'print a config with its bases merged, or compare two'),
    'flops': ('flops', 'count parameters, multiply-adds and memory of a model'),
    'info': ('info', 'show versions, devices and what is missing'),
    'synth': ('synth', 'draw street scenes with labels for a first run'),
}


def main(argv: Sequence[str] | None = None) -> int:
    """``openseg VERB ...``: the exit status of the verb."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    verb = arguments[0] if arguments else '--help'
    if verb in ('-h', '--help'):
        print(_overview())
        return 0
    if verb == '--version':
        print(f'openseg_plugin {__version__}')
        return 0
    if verb.partition('=')[0] == '--print-completion':
        shell = verb.partition('=')[2] or ''.join(arguments[1:2])
        return run(lambda _: print(completion(shell)))
    if verb not in VERBS:
        near = difflib.get_close_matches(verb, VERBS, n=1)
        hint = f'did you mean {near[0]}?' if near else 'openseg --help lists them'
        _say(f'error: there is no verb {verb}: {hint}')
        return EXIT_USER_ERROR
    sys.argv = [f'openseg {verb}', *arguments[1:]]  # what the parser of the verb calls itself
    return run(f'openseg_plugin.cli.{VERBS[verb][0]}', arguments[1:])


def _overview() -> str:
    width = max(map(len, VERBS))
    lines = [f'  {verb:{width}}  {text}' for verb, (_, text) in VERBS.items()]
    return '\n'.join(
        [
            'usage: openseg VERB ...',
            '',
            'Semantic segmentation with OCR, ISA, OCNet, CE2P, HMSA and SegFix on MMSegmentation.',
            '',
            *lines,
            '',
            '"openseg VERB --help" shows the options of a verb with an example.',
            '--version prints the version, --print-completion bash (zsh, fish, ...) what makes',
            'your shell complete verbs and options.',
        ]
    )


def completion(shell: str) -> str:
    """Script that makes a shell complete the verbs and their options.

    Args:
        shell: bash, zsh, tcsh or fish.

    Raises:
        ConfigError: another shell.
        DependencyError: shtab is not installed.
    """
    try:
        import shtab
    except ImportError as error:
        raise DependencyError('completion needs shtab: pip install shtab') from error
    if shell not in shtab.SUPPORTED_SHELLS:
        known = ', '.join(shtab.SUPPORTED_SHELLS)
        raise ConfigError(f'--print-completion {shell}: give one of {known}')
    parser = argparse.ArgumentParser('openseg')
    parser.add_argument('--version', action='store_true', help='print the version')
    verbs = parser.add_subparsers()
    for verb, (module, text) in VERBS.items():
        options = importlib.import_module(f'openseg_plugin.cli.{module}').build_parser()
        verbs.add_parser(verb, help=text, parents=[options], add_help=False)
    _complete_files(parser, shtab.FILE)
    return shtab.complete(parser, shell)


def _complete_files(parser: argparse.ArgumentParser, files: object) -> None:
    """Arguments that may be a file are completed as one."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for child in action.choices.values():
                _complete_files(child, files)
        elif action.nargs != 0 and action.choices is None and action.type in _MAY_BE_FILES:
            action.complete = files  # type: ignore[attr-defined]  # shtab looks for it


def print_json(value: Any) -> None:
    """Prints a result; what JSON does not know, such as nan, is null."""
    print(json.dumps(_plain(value), allow_nan=False))


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(one) for one in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def quiet_libraries() -> None:
    """For verbs whose output is a result: what libraries tell of their work is left out."""
    import cv2
    from mmengine.logging import MMLogger

    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)  # our sentences say it
    logging.getLogger('tifffile').setLevel(logging.CRITICAL)
    MMLogger.get_current_instance().setLevel(logging.WARNING)


@contextlib.contextmanager
def silent_log() -> Iterator[None]:
    """What mmengine logs within it about a model that is only looked at is left out."""
    from unittest import mock

    from mmengine.logging import MMLogger

    with mock.patch.object(MMLogger.get_current_instance(), 'disabled', True):
        yield


Main = Callable[[Sequence[str] | None], int | None]


def run(main: Main | str, argv: Sequence[str] | None = None) -> int:
    """Exit status of ``main(argv)``; mistakes of the user become one sentence on stderr.

    A log file that cannot be written (full disk) does not bury that sentence under tracebacks.

    Args:
        main: takes the arguments (None for those of the command line), returns an exit status or
            None for success; or the name of the module whose ``main`` it is, so that a package
            missing for its import is a mistake with a sentence too.
        argv: arguments without the program's name; None for those of the command line.

    What is no user's mistake keeps its traceback, for the bug report; where a part of a config was
    being built or was at work, a sentence that names its key follows and the status is 1.

    Raises:
        Exception: what is no user's mistake and came from no part of a config.
    """
    is_debug = '--debug' in (sys.argv[1:] if argv is None else argv)
    before, logging.raiseExceptions = logging.raiseExceptions, is_debug
    try:
        return (_main_of(main) if isinstance(main, str) else main)(argv) or 0
    except BrokenPipeError:  # whoever reads has seen enough, as with head
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_BROKEN_PIPE
    except KeyboardInterrupt:
        _say('interrupted')
        return EXIT_INTERRUPTED
    except Exception as raised:
        error = _reason(raised)
        message = message_for(error)
        if message is None:
            key = config_key(error)
            if key is None:
                raise
            traceback.print_exc()
            detail = ' '.join(f'{type(error).__name__}: {error}'.split())
            what = 'does not work' if was_running(error) else 'could not be built'
            _say(f'error: {key} of the config {what}, {detail}')
            return EXIT_ERROR
        if is_debug:
            traceback.print_exc()
            print(_details(error), end='', file=sys.stderr)
        _say(f'error: {" ".join(message.split())}')
        return error.exit_status if isinstance(error, UserError) else EXIT_USER_ERROR
    finally:
        logging.raiseExceptions = before


def _reason(error: Exception) -> Exception:
    """What is wrong with the installation, where an import or mmseg's own check of it failed.

    Verbs import mmseg when they run, after their arguments were read.
    """
    if isinstance(error, ImportError | AssertionError):
        try:
            compat.check()
        except DependencyError as reason:
            return reason
    return error


def _main_of(module: str) -> Main:
    try:
        return importlib.import_module(module).main
    except (ImportError, AssertionError) as error:  # mmseg asserts that versions fit
        compat.check()
        name = (getattr(error, 'name', None) or 'openseg_plugin').partition('.')[0]
        if not isinstance(error, ModuleNotFoundError) or name == 'openseg_plugin':
            raise
        raise DependencyError(
            f'{name} is needed but not installed: pip install -r requirements.txt'
        ) from error


def message_for(error: BaseException) -> str | None:
    """One sentence for a mistake of the user; None for everything else.

    Also finds the sentence in errors that a data loading process raised again.
    """
    if isinstance(error, UserError):
        return _own_words(error)
    if isinstance(error, OSError):
        return _system_message(error)
    if type(error).__name__ == 'OutOfMemoryError':  # torch's; torch is not imported here
        return 'the GPU has not enough memory for this: use a smaller batch or crop, or --amp'
    text = str(error.args[0]) if error.args else ''
    if isinstance(error, ValueError) and text == 'embedded null byte':
        return 'a path in the config or on the command line holds the character \\0: remove it'
    if isinstance(error, KeyError) and 'registry' in text:
        return _unknown_type(text, config_key(error))
    if isinstance(error, TypeError) and (option := unknown_option(error)):
        place = config_key(error) or 'a part of the config'
        return (
            f'{place} gives an option that does not exist, {option}: {" ".join(text.split())}; '
            'check its spelling'
        )
    key, found = config_key(error), _OTHER_CHANNELS.search(text)
    if key is not None and found and isinstance(error, RuntimeError):
        return (
            f'{key} is built for {found[1]} channels, but is given {found[2]}: give the channels '
            'of the part before it'
        )
    if isinstance(error, ValueError) and text.startswith('Expected more than 1 value per channel'):
        return (
            'train_dataloader.batch_size 1 is too small for a head that pools the whole image, as '
            'normalization needs several values per channel: give 2 or more'
        )
    return None


def _details(error: BaseException | None) -> str:
    """What the error, or one that it came from, leaves out of its sentence; ends with a newline."""
    while error is not None:
        if details := getattr(error, 'details', ''):
            return f'{details}\n'
        error = error.__cause__ or error.__context__
    return ''


def _own_words(error: UserError) -> str:
    """The message, without the traceback that torch's DataLoader wraps around it."""
    text = str(error)
    mark = f'{type(error).__name__}: '
    if text.startswith('Caught ') and mark in text:
        return text.rpartition(mark)[2].strip()
    return text


def _system_message(error: OSError) -> str | None:
    place = f' while writing {error.filename}' if error.filename else ''
    if error.errno in _DISK_FULL:
        return f'the disk is full{place}: free some space, then run again with --resume'
    if error.filename is None:
        return None
    return f'{error.filename}: {error.strerror or error}'


def _unknown_type(text: str, key: str | None) -> str:
    """mmengine's paragraph about a ``type`` it cannot find, cut to its first sentence."""
    sentence = ' '.join(text.split()).partition('. ')[0]
    place = f'{key}.type' if key else 'this type'
    return f'{sentence}: check the spelling of {place} in the config'


def _say(sentence: str) -> None:
    """Prints to stderr; of several processes with the same mistake, the first one alone."""
    rank = os.environ.get('RANK', '0')
    if rank == '0':
        print(sentence, file=sys.stderr, flush=True)
        return
    # When process 0 ends with an error of its own, the launcher ends this one within this time.
    time.sleep(SECONDS_FOR_PROCESS_0)
    print(f'[process {rank}] {sentence}', file=sys.stderr, flush=True)


if __name__ == '__main__':
    sys.exit(main())
