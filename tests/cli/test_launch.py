"""Starting processes: wrong numbers are refused, exit statuses arrive."""

import os
import signal

import pytest
import torch

from openseg_plugin.cli import launch
from openseg_plugin.cli.main import run
from openseg_plugin.errors import ConfigError


@pytest.fixture
def script(tmp_path):
    """Writes a script that does not import torch and so takes no time; returns its path."""

    def write(text: str) -> str:
        path = tmp_path / 'script.py'
        path.write_text(f'import os, signal, sys, time\nrank = os.environ["RANK"]\n{text}\n')
        return str(path)

    return write


@pytest.fixture(autouse=True)
def _environment(monkeypatch):
    for name in ('NNODES', 'NODE_RANK', 'MASTER_ADDR', 'PORT'):
        monkeypatch.delenv(name, raising=False)
    for name in ('OMP_NUM_THREADS', 'MKL_NUM_THREADS'):  # launch sets what is not set
        monkeypatch.setenv(name, '1')


@pytest.mark.parametrize(
    ('text', 'status'),
    [
        ('', 0),
        ('sys.exit(2)', 2),
        ('sys.exit(143)', 143),
        ('sys.exit(5 if rank == "1" else time.sleep(30))', 5),
        ('os.kill(os.getpid(), signal.SIGKILL)', 137),
    ],
)
def test_exit_status_of_the_processes_arrives(script, capfd, text, status):
    assert run(launch.main, ['2', script(text)]) == status
    errors = capfd.readouterr().err
    assert 'Traceback' not in errors
    assert ('ended with status' in errors) == (status != 0)


def test_processes_get_the_arguments_and_their_numbers(script, tmp_path):
    path = script(
        f'open({str(tmp_path)!r} + "/" + rank, "w").write('
        '" ".join([*sys.argv[1:], os.environ["WORLD_SIZE"]]))'
    )
    assert launch.main(['2', path, '--a', 'b c']) == 0
    assert [(tmp_path / rank).read_text() for rank in '01'] == ['--a b c 2'] * 2


@pytest.mark.parametrize('number', ['0', '-1', 'two', '1.5', ''])
def test_number_that_is_none_is_refused(script, number):
    with pytest.raises(ConfigError, match='give the number of GPUs'):
        launch.main([number, script('')])


def test_more_gpus_than_there_are_is_refused(script, monkeypatch):
    monkeypatch.setattr(torch.cuda, 'device_count', lambda: 2)
    with pytest.raises(ConfigError, match='4 GPUs were asked for, but this machine has 2'):
        launch.main(['4', script('')])


def test_missing_script_is_named():
    with pytest.raises(ConfigError, match=r'script none\.py does not exist'):
        launch.main(['1', 'none.py'])


def test_too_few_arguments_say_what_is_needed():
    with pytest.raises(ConfigError, match='give the number of GPUs'):
        launch.main([])


def test_meeting_point_comes_from_the_environment(monkeypatch):
    for name, value in dict(NNODES='2', NODE_RANK='1', MASTER_ADDR='10.0.0.7', PORT='1234').items():
        monkeypatch.setenv(name, value)
    assert launch._meeting_options() == [
        '--nnodes=2',
        '--node_rank=1',
        '--master_addr=10.0.0.7',
        '--master_port=1234',
    ]


def test_two_runs_on_one_machine_do_not_share_a_port():
    ports = {launch._meeting_options()[-1] for _ in range(2)}
    assert len(ports) == 2


def test_sigterm_to_the_launcher_reaches_the_processes(script, monkeypatch):
    waiting = 'signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))\n'
    waiting += f'if rank == "0": time.sleep(0.5); os.kill({os.getpid()}, signal.SIGTERM)\n'
    waiting += 'time.sleep(30)'
    before = signal.getsignal(signal.SIGTERM)
    try:
        assert launch.main(['2', script(waiting)]) == 143
    finally:
        signal.signal(signal.SIGTERM, before)
