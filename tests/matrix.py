"""Runs the tests in one environment per row and prints the table that the README quotes.

Environments and logs stay in ``tests/.envs``; an environment that is complete is used again. A row
that cannot be installed is not tested, and the table says why. Nothing larger than
``MAX_DOWNLOAD_MB`` (environment variable, default 300) is downloaded: torch for Linux on PyPI is a
build for GPUs of 500 MB and more; where PyTorch's index of CPU builds can be reached, it is used.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent
ENVS = PROJECT / 'tests' / '.envs'
MAX_DOWNLOAD_MB = float(os.environ.get('MAX_DOWNLOAD_MB', 300))
CPU_BUILDS = 'https://download.pytorch.org/whl/cpu'
NUMPY_1 = ('numpy==1.26.4', 'opencv-python==4.11.0.86', 'setuptools==80.9.0')


@dataclass(frozen=True)
class Row:
    """One environment: requirements.txt for ``python``, with some packages in place of its own."""

    python: str = '3.11'
    torch: str = '2.13.0'
    instead: tuple[str, ...] = ()  # requirements that replace those of the same package
    fork: bool = False  # the maintained fork of mmengine and mmseg in place of the official ones
    with_ops: bool = False  # put a module where a compiled mmcv has its ops

    @property
    def requirements(self) -> list[str]:
        """Lines for pip, torch excluded."""
        files = ('requirements.txt', 'requirements-dev.txt')
        lines = [line for file in files for line in (PROJECT / file).read_text().splitlines()]
        lines = [line.partition('#')[0].strip() for line in lines]
        replaced = {_name(line) for line in self.instead} | {'torch', ''}
        if self.fork:
            replaced |= {'mmengine', 'mmsegmentation', 'mmcv-lite'}
        kept = [line for line in lines if _name(line) not in replaced | {'torchvision'}]
        return [*kept, f'torchvision=={_torchvision_of(self.torch)}', *self.instead]


FORK = ('onedl-mmengine==0.10.12', 'onedl-mmsegmentation==1.4.2', 'mmcv-lite==2.2.0')
FORK_NEEDS = ('addict', 'pyyaml', 'rich', 'termcolor', 'yapf', 'prettytable', 'packaging')
ROWS = {
    'official': Row(),
    'compiled-ops': Row(with_ops=True),
    'fork': Row(fork=True),
    'numpy-1.26': Row(instead=NUMPY_1),
    'torch-2.14': Row(torch='2.14.1'),
    'torch-2.4': Row(torch='2.4.1'),
    'torch-2.1': Row(torch='2.1.2', instead=NUMPY_1),
    'python-3.10': Row(python='3.10'),
    'python-3.12': Row(python='3.12'),
    'python-3.13': Row(python='3.13'),
}


class RowError(Exception):
    """Why a row cannot be installed here."""


def main() -> int:
    """Runs the rows; 1 when a test of any row fails, 3 when none fails but a row was not tested."""
    arguments, pytest_arguments = _arguments()
    results, status = [], 0
    for name in arguments.rows or ROWS:
        row = ROWS[name]
        try:
            python = make_environment(name, row)
        except RowError as error:
            results.append((name, row.python, *['-'] * 6, f'not tested: {error}'))
            status = status or 3
            continue
        failed, summary = run_tests(name, python, pytest_arguments)
        status = 1 if failed else status
        results.append((name, row.python, *versions(python), summary))
    head = ('row', 'Python', 'torch', 'mmengine', 'mmseg', 'mmcv', 'numpy', 'OpenCV', 'result')
    print('\n'.join(table([head, *results])))
    return status


def _arguments() -> tuple[argparse.Namespace, list[str]]:
    given = sys.argv[1:]
    cut = given.index('--') if '--' in given else len(given)
    parser = argparse.ArgumentParser('tests/matrix.sh', description=__doc__)
    parser.add_argument('rows', nargs='*', metavar='ROW', help=f'default: {" ".join(ROWS)}')
    parsed = parser.parse_args(given[:cut])
    unknown = set(parsed.rows) - set(ROWS)
    if unknown:
        parser.error(f'no row {", ".join(sorted(unknown))}; there are {", ".join(ROWS)}')
    return parsed, given[cut + 1 :]


def _torchvision_of(torch: str) -> str:
    """Release of torchvision that belongs to a torch: 2.13.0 -> 0.28.*."""
    return f'0.{int(torch.split(".")[1]) + 15}.*'


def _name(requirement: str) -> str:
    return re.split(r'[=<>;\[ ]', requirement)[0]


def find_python(version: str) -> str:
    """Path of an installed Python ``version``, also one that pyenv keeps aside.

    Raises:
        RowError: there is none.
    """
    kept_aside = sorted(Path.home().glob(f'.pyenv/versions/{version}.*/bin/python'))
    ask = 'import sys; print("%d.%d" % sys.version_info[:2])'
    for candidate in (sys.executable, f'python{version}', *map(str, kept_aside)):
        if shutil.which(candidate) is None:
            continue
        done = subprocess.run([candidate, '-c', ask], capture_output=True, text=True)
        if done.stdout.strip() == version:
            return candidate
    raise RowError(f'no Python {version}')


def make_environment(name: str, row: Row) -> str:
    """Path of the row's Python.

    Raises:
        RowError: it cannot be made here.
    """
    folder = ENVS / name
    python, stamp = str(folder / 'bin' / 'python'), folder / 'complete.json'
    wanted = [row.torch, *row.requirements, *(FORK if row.fork else ())]
    if stamp.exists() and json.loads(stamp.read_text()) == wanted:
        return python
    say(f'{name}: making {folder.relative_to(PROJECT)}')
    subprocess.run([find_python(row.python), '-m', 'venv', '--clear', str(folder)], check=True)
    install_torch(python, row.torch)
    install(python, *row.requirements)
    if row.fork:
        install(python, *FORK_NEEDS)
        install(python, '--no-deps', '--no-build-isolation', *FORK)
    if row.with_ops:
        ask = 'import mmcv; print(mmcv.__path__[0])'
        mmcv = subprocess.run([python, '-c', ask], capture_output=True, text=True, check=True)
        Path(mmcv.stdout.strip(), '_ext.py').write_text(_COMPILED)
    stamp.write_text(json.dumps(wanted))
    return python


_COMPILED = '''"""In place of the compiled ops of mmcv: every op is there, none is called."""


def __getattr__(name):
    if name.startswith('__'):
        raise AttributeError(name)
    return lambda *args, **kwargs: None
'''


def install_torch(python: str, version: str) -> None:
    """Installs torch from the index of CPU builds, or else from PyPI.

    Raises:
        RowError: neither has it, or it is too large.
    """
    cpu_build = [f'torch=={version}+cpu', '--retries=0', '--timeout=15']
    try:
        install(python, *cpu_build, '--extra-index-url', CPU_BUILDS)
    except RowError:
        install(python, f'torch=={version}')


def install(python: str, *arguments: str) -> None:
    """``pip install``, stopped when something too large is about to come.

    Raises:
        RowError: it failed.
    """
    command = [python, '-m', 'pip', '--disable-pip-version-check', 'install', *arguments]
    output = []
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        for line in process.stdout:
            output.append(line.strip())
            size = re.search(r'Downloading (\S+) \(([\d.]+) ([MG])B\)', line)
            if size and float(size[2]) * (1000 if size[3] == 'G' else 1) > MAX_DOWNLOAD_MB:
                process.kill()
                file = size[1].rpartition('/')[2].partition('-cp')[0]
                raise RowError(f'{file} is a download of {size[2]} {size[3]}B')
    if process.returncode != 0:
        errors = [line for line in output if line.startswith('ERROR')]
        raise RowError((errors or output)[-1][:100])


def run_tests(name: str, python: str, arguments: list[str]) -> tuple[bool, str]:
    """Whether tests failed, and one line about them; everything they say goes to a log."""
    log = ENVS / f'{name}.log'
    say(f'{name}: testing, log in {log.relative_to(PROJECT)}')
    environment = {**os.environ, 'PYTHONPATH': str(PROJECT), 'OMP_NUM_THREADS': '1'}
    command = [python, '-m', 'pytest', '-q', '-n', '2', '--dist', 'worksteal', *arguments]
    start = time.monotonic()
    with log.open('w') as file:
        status = subprocess.run(
            command, cwd=PROJECT, env=environment, stdout=file, stderr=subprocess.STDOUT
        ).returncode
    last = log.read_text().strip().splitlines()[-1].strip('= ').partition(' in ')[0]
    return status != 0, f'{last} ({(time.monotonic() - start) / 60:.0f} min)'


def versions(python: str) -> list[str]:
    """Installed versions of what the columns of the table name."""
    code = (
        'from importlib import metadata\n'
        'def v(*names):\n'
        '    for name in names:\n'
        '        for found in metadata.distributions(name=name):\n'
        '            return found.version + (" (fork)" if name.startswith("onedl") else "")\n'
        '    return "-"\n'
        'print(v("torch"), v("mmengine", "onedl-mmengine"),\n'
        '      v("mmsegmentation", "onedl-mmsegmentation"), v("mmcv-lite", "mmcv"),\n'
        '      v("numpy"), v("opencv-python"), sep="|")'
    )
    done = subprocess.run([python, '-c', code], capture_output=True, text=True, check=True)
    return done.stdout.strip().split('|')


def table(rows: list[tuple[str, ...]]) -> list[str]:
    """Markdown lines; the first row is the head."""
    head, *rest = rows
    widths = [max(len(row[k]) for row in rows) for k in range(len(head))]
    lines = [
        '| ' + ' | '.join(cell.ljust(w) for cell, w in zip(row, widths)) + ' |' for row in rows
    ]
    return [
        lines[0],
        '|' + '|'.join('-' * (w + 2) for w in widths) + '|',
        *lines[1 : len(rest) + 1],
    ]


def say(text: str) -> None:
    """Progress on stderr, so that stdout holds the table alone."""
    print(text, file=sys.stderr, flush=True)


if __name__ == '__main__':
    sys.exit(main())
