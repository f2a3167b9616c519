"""Starting processes: wrong numbers are refused, exit statuses arrive."""

import os
import signal
import socket
import time
from pathlib import Path

import pytest
import torch
import toy_run

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


@pytest.mark.parametrize(
    ('variables', 'expected'),
    [
        (dict(NODE_RANK='1'), 'NODE_RANK is 1 and NNODES is 1'),
        (dict(NNODES='two'), "NNODES is 'two'"),
        (dict(PORT='70000'), 'PORT is 70000'),
    ],
)
def test_variables_left_from_another_run_are_named(script, monkeypatch, variables, expected):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError, match=expected):
        launch.main(['1', script('')])


def test_port_in_use_is_named(script, monkeypatch):
    with socket.socket() as server:
        server.bind(('127.0.0.1', 0))
        server.listen()
        port = server.getsockname()[1]
        monkeypatch.setenv('PORT', str(port))
        with pytest.raises(ConfigError, match=f'port {port} .* PORT'):
            launch.main(['1', script('')])


def test_machines_that_do_not_come_are_named(script, monkeypatch, capfd):
    monkeypatch.setenv('NNODES', '2')
    monkeypatch.setenv('PORT', str(launch._free_port()))
    monkeypatch.setattr(launch, 'WAIT_QUIETLY', 0.5)
    # other tests of this process may have left a server that forks workers
    monkeypatch.setattr(launch, '_has_children', lambda: False)
    path = script('')
    monkeypatch.setattr('torch.distributed.run.run', lambda args: time.sleep(1.5))
    assert launch.main(['1', path]) == 0
    assert 'waiting for the other machines: NNODES is 2' in capfd.readouterr().err


def test_processes_end_when_the_launcher_is_killed(tmp_path):
    path = tmp_path / 'script.py'
    path.write_text(WAITING.format(folder=str(tmp_path)))
    launcher = toy_run.start('-m', 'openseg_plugin.cli.launch', 2, path)
    files = [tmp_path / f'rank{rank}' for rank in '01']
    wait_until(lambda: all(file.exists() for file in files), 60)
    launcher.kill()
    launcher.communicate()
    processes = [int(file.read_text()) for file in files]
    wait_until(lambda: not any(map(is_running, processes)), 30)


WAITING = """
import os, time
from openseg_plugin.engine.distributed.process_group import end_with_launcher
end_with_launcher()
file = '{folder}/rank' + os.environ['RANK']
open(file + '.new', 'w').write(str(os.getpid()))
os.rename(file + '.new', file)
time.sleep(1000)
"""


def is_running(process: int) -> bool:
    try:
        state = Path(f'/proc/{process}/stat').read_text().rpartition(')')[2].split()[0]
    except FileNotFoundError:
        return False
    return state != 'Z'


def wait_until(condition, seconds: float) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, 'took too long'
        time.sleep(0.2)
