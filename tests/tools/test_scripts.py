"""The shell scripts: what they start, with which arguments; a stand-in takes srun's place."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

TOOLS = Path(__file__).parents[2] / 'tools'


def call(script: str, *arguments: str, **variables: str) -> subprocess.CompletedProcess:
    """Runs a script with ``variables`` added to the environment."""
    return subprocess.run(
        ['bash', str(TOOLS / script), *arguments],
        env={**os.environ, 'PYTHON': sys.executable, **variables},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.fixture
def srun(tmp_path) -> str:
    """PATH with an srun that prints its arguments, one per line."""
    fake = tmp_path / 'srun'
    fake.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    fake.chmod(0o755)
    return f'{tmp_path}:{os.environ["PATH"]}'


@pytest.mark.parametrize(
    ('script', 'arguments'),
    [
        ('dist_train.sh', ['a.py']),
        ('dist_test.sh', ['a.py', 'b.pth']),
        ('slurm_train.sh', ['partition', 'job']),
        ('slurm_test.sh', ['partition', 'job', 'a.py']),
    ],
)
def test_too_few_arguments_say_what_is_needed(script, arguments):
    done = call(script, *arguments)
    assert done.returncode == 2
    assert done.stderr.startswith('error: give ')
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ('script', 'arguments'),
    [('dist_train.sh', ['a.py', 'many']), ('dist_test.sh', ['a.py', 'b.pth', '0'])],
)
def test_wrong_number_of_gpus_is_one_sentence(script, arguments):
    done = call(script, *arguments)
    assert done.returncode == 2
    assert done.stderr == (
        f'error: GPUS is {arguments[-1]}: give the number of GPUs on this machine\n'
    )


@pytest.mark.parametrize(
    ('script', 'arguments', 'expected'),
    [
        (
            'slurm_train.sh',
            ['part', 'job', 'a b.py', '--resume'],
            ['train.py', 'a b.py', '--launcher', 'slurm', '--resume'],
        ),
        (
            'slurm_test.sh',
            ['part', 'job', 'a.py', 'b.pth', '--aug-test'],
            ['test.py', 'a.py', 'b.pth', '--launcher', 'slurm', '--aug-test'],
        ),
    ],
)
@pytest.mark.parametrize(
    ('variables', 'resources'),
    [
        ({}, ['--ntasks=4', '--cpus-per-task=5', '--gres=gpu:4', '--ntasks-per-node=4']),
        (
            {'GPUS': '16', 'GPUS_PER_NODE': '8', 'CPUS_PER_TASK': '2', 'SRUN_ARGS': '-w node7'},
            ['--ntasks=16', '--cpus-per-task=2', '--gres=gpu:8', '--ntasks-per-node=8', 'node7'],
        ),
        ({'GPUS': '2'}, ['--ntasks=2', '--gres=gpu:2', '--ntasks-per-node=2']),
        ({'GPUS': '3', 'GPUS_PER_NODE': '0'}, ['--ntasks=3']),
    ],
)
def test_slurm_gets_resources_and_command(srun, script, arguments, expected, variables, resources):
    done = call(script, *arguments, PATH=srun, **variables)
    assert done.returncode == 0, done.stderr
    given = done.stdout.splitlines()
    assert {'--partition=part', '--job-name=job', '--kill-on-bad-exit=1'} < set(given)
    assert set(resources) < set(given)
    assert ('--gres' in done.stdout) == any('gres' in one for one in resources)
    command = given[given.index(sys.executable) :]
    assert command[1] == '-u'
    assert [Path(command[2]).name, *command[3:]] == expected
    assert Path(command[2]).parent == TOOLS
