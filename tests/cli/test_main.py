"""What a user sees when something is wrong: one sentence, status 2."""

import argparse
import errno
import logging
import os

import pytest

from openseg_plugin.cli import main
from openseg_plugin.cli.main import message_for, run
from openseg_plugin.cli.parser import ArgumentParser
from openseg_plugin.errors import ConfigError, DataError, UserError


def raising(error: BaseException):
    """A main function that fails."""

    def main(argv):
        raise error

    return main


@pytest.mark.parametrize(('returned', 'status'), [(None, 0), (0, 0), (3, 3)])
def test_run_returns_the_status_of_main(returned, status):
    assert run(lambda argv: returned, []) == status


def test_run_prints_the_sentence_of_a_user_error_alone(capsys):
    assert run(raising(DataError('image a.png\n  is  broken')), []) == 2
    assert capsys.readouterr().err == 'error: image a.png is broken\n'


def test_run_shows_the_traceback_with_debug(capsys):
    assert run(raising(DataError('broken')), ['--debug']) == 2
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith('Traceback')
    assert lines[-1] == 'error: broken'


@pytest.mark.parametrize('debug', [False, True])
def test_run_shows_errors_of_the_log_only_with_debug(capsys, debug):
    class Full(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            try:
                raise OSError(errno.ENOSPC, 'full')
            except OSError:
                self.handleError(record)

    def main(argv):
        Full().emit(logging.makeLogRecord({'msg': 'x'}))

    before = logging.raiseExceptions
    assert run(main, ['--debug'] if debug else []) == 0
    assert ('Logging error' in capsys.readouterr().err) == debug
    assert logging.raiseExceptions is before


def test_run_lets_programming_errors_pass():
    with pytest.raises(ZeroDivisionError):
        run(raising(ZeroDivisionError()), [])


def test_run_lets_exit_statuses_pass():
    with pytest.raises(SystemExit) as left:
        run(raising(SystemExit(143)), [])
    assert left.value.code == 143


def test_run_reports_ctrl_c_as_a_shell_does():
    assert run(raising(KeyboardInterrupt()), []) == 130


def test_run_waits_before_another_process_repeats_the_sentence(monkeypatch, capsys):
    slept = []
    monkeypatch.setattr(main.time, 'sleep', slept.append)
    monkeypatch.setenv('RANK', '3')
    assert run(raising(UserError('x')), []) == 2
    assert capsys.readouterr().err == '[process 3] error: x\n'
    assert slept == [main.SECONDS_FOR_PROCESS_0]


@pytest.mark.parametrize('number', [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_full_disk_is_a_user_error(number):
    error = OSError(number, os.strerror(number), 'a.pth')
    assert 'the disk is full while writing a.pth' in message_for(error)


def test_missing_file_is_a_user_error():
    error = FileNotFoundError(errno.ENOENT, 'No such file or directory', 'a.txt')
    assert message_for(error) == 'a.txt: No such file or directory'


def test_os_error_without_a_file_is_a_programming_error():
    assert message_for(OSError('?')) is None


def test_out_of_gpu_memory_is_a_user_error():
    error = type('OutOfMemoryError', (RuntimeError,), {})('CUDA out of memory')
    assert 'smaller batch or crop' in message_for(error)


def test_error_of_a_loading_process_keeps_its_sentence_only():
    text = (
        'Caught DataError in DataLoader worker process 0.\nOriginal Traceback (most recent call '
        'last):\n  File "x.py", line 1\nopenseg_plugin.errors.DataError: image a.png is broken\n'
    )
    assert message_for(DataError(text)) == 'image a.png is broken'


def test_unknown_type_in_a_config_is_one_sentence():
    error = KeyError(
        'OCRHaed is not in the mmseg::model registry. Please check whether the value of '
        '`OCRHaed` is correct'
    )
    expected = 'OCRHaed is not in the mmseg::model registry: check the spelling of this type'
    assert message_for(error).startswith(expected)


def test_other_key_errors_are_programming_errors():
    assert message_for(KeyError('x')) is None


def test_unknown_argument_of_a_class_is_one_sentence():
    error = TypeError("OCRHead.__init__() got an unexpected keyword argument 'chanels'")
    assert "unexpected keyword argument 'chanels'" in message_for(error)


@pytest.fixture
def parser() -> argparse.ArgumentParser:
    parser = ArgumentParser('Test.')
    parser.prog = 'tool.py'
    parser.add_argument('config')
    parser.add_argument('--work-dir')
    parser.add_argument('--seed', type=int)
    return parser


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['c.py', '--workdir', 'x'], 'tool.py has no option --workdir: did you mean --work-dir?'),
        (['c.py', '--work_dir=x'], 'tool.py has no option --work_dir: did you mean --work-dir?'),
        (['c.py', '--zzz'], 'tool.py has no option --zzz: --help lists what there is'),
        (['c.py', 'd.py'], 'tool.py has no argument d.py: --help lists what there is'),
        ([], 'tool.py: the following arguments are required: config'),
        (['c.py', '--seed', 'x'], "tool.py: argument --seed: invalid int value: 'x'"),
    ],
)
def test_parser_raises_config_errors(parser, arguments, message):
    with pytest.raises(ConfigError) as raised:
        parser.parse_args(arguments)
    assert str(raised.value).startswith(message)


def test_parser_takes_no_abbreviations(parser):
    with pytest.raises(ConfigError, match='did you mean --work-dir'):
        parser.parse_args(['c.py', '--work', 'x'])


def test_parser_knows_debug(parser):
    assert parser.parse_args(['c.py', '--debug']).debug
    assert not parser.parse_args(['c.py']).debug
