"""torchrun with clear errors: ``python -m ...launch GPUS SCRIPT [ARGUMENTS]``.

Starts GPUS processes of SCRIPT on this machine, one per GPU, or as many as asked for where there
is no GPU (gloo). Variables as in mmseg's scripts: NNODES and NODE_RANK (machines and the number of
this one), MASTER_ADDR and PORT (where they meet; a free port by itself on one machine).

The exit status is that of the process that failed first, 143 after a SIGTERM; torchrun itself has
1 for all of these, under a page of its own traceback.
"""

import contextlib
import errno
import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

from openseg_plugin.cli.main import run
from openseg_plugin.errors import ConfigError, MachineError

WAIT_QUIETLY = 30.0  # seconds for the other machines before a sentence says what is waited for
_SIGNALS = 'SIGTERM,SIGINT,SIGHUP,SIGQUIT,SIGUSR1'  # passed on to the processes


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the processes to their end; returns the exit status.

    Raises:
        ConfigError: GPUS is no number, or larger than what is there; the script does not exist;
            a variable does not fit.
        MachineError: the machines do not find each other.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    if len(arguments) < 2:
        raise ConfigError('give the number of GPUs (or processes), a script and its arguments')
    number = _number(arguments[0])
    if not os.path.isfile(arguments[1]):
        raise ConfigError(f'script {arguments[1]} does not exist')
    return _run_elastic(number, arguments[1:])


def _number(text: str) -> int:
    from openseg_plugin.engine.distributed.process_group import check_gpus

    if not text.isdecimal() or int(text) < 1:
        raise ConfigError(f'GPUS is {text}: give the number of GPUs on this machine')
    check_gpus(int(text))
    return int(text)


def _run_elastic(number: int, command: list[str]) -> int:
    from torch.distributed import DistError
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.run import get_args_parser
    from torch.distributed.run import run as run_elastic

    if '--debug' not in command:
        logging.getLogger('torch.distributed.elastic').setLevel(logging.CRITICAL)
    _set_environment(number)
    parser = get_args_parser()
    options = [*_meeting_options(), f'--nproc_per_node={number}']
    if '--signals-to-handle' in parser._option_string_actions:  # torch 2.8 and newer
        options.append(f'--signals-to-handle={_SIGNALS}')
    args = parser.parse_args([*options, *command])
    _say_if_alone(args.nnodes, args.node_rank, f'{args.master_addr}:{args.master_port}')
    try:
        run_elastic(args)
    except ChildFailedError as error:
        rank, failure = error.get_first_failure()
        status = failure.exitcode if failure.exitcode > 0 else 128 - failure.exitcode
        print(f'process {rank} ended with status {status}', file=sys.stderr)
        return status
    except SignalException as error:
        return 128 + int(error.sigval or signal.SIGTERM)
    except DistError as error:
        reason = str(error).partition('\n')[0]
        raise MachineError(
            f'the machines do not find each other at {args.master_addr}:{args.master_port} '
            f'(NNODES={args.nnodes}, NODE_RANK={args.node_rank}): {reason}'
        ) from error
    return 0


def _set_environment(number: int) -> None:
    from openseg_plugin.engine.distributed.process_group import LAUNCHER_VARIABLE

    # each process gets its fraction of the cores; torchrun and mmengine would warn and choose 1
    fraction = str(max(1, (os.cpu_count() or 1) // number))
    for library in ('OMP', 'MKL'):
        os.environ.setdefault(f'{library}_NUM_THREADS', fraction)
    os.environ.setdefault('TORCHELASTIC_SIGNALS_TO_HANDLE', _SIGNALS)  # torch before 2.8
    os.environ[LAUNCHER_VARIABLE] = str(os.getpid())


def _meeting_options() -> list[str]:
    nodes = os.environ.get('NNODES', '1')
    rank = os.environ.get('NODE_RANK', '0')
    port = os.environ.get('PORT')
    for name, value, least in (('NNODES', nodes, 1), ('NODE_RANK', rank, 0), ('PORT', port, 1)):
        if value is not None and not (value.isdecimal() and int(value) >= least):
            raise ConfigError(f'the variable {name} is {value!r}: give a number of {least} or more')
    if int(rank) >= int(nodes):
        raise ConfigError(
            f'the variable NODE_RANK is {rank} and NNODES is {nodes}: machines count from 0 to '
            f'{int(nodes) - 1}; unset NODE_RANK if it is left from another run, or correct NNODES'
        )
    if nodes == '1' and port is None:
        port = str(_free_port())
    port = port or '29500'
    if rank == '0':
        _check_port(int(port))
    return [
        f'--nnodes={nodes}',
        f'--node_rank={rank}',
        f'--master_addr={os.environ.get("MASTER_ADDR", "127.0.0.1")}',
        f'--master_port={port}',
    ]


def _check_port(port: int) -> None:
    """Makes sure that the machine where all meet can listen there.

    Raises:
        ConfigError: something else listens, or the number is none of a port.
    """
    try:
        with socket.socket() as server:
            server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            server.bind(('', port))
    except OverflowError as error:
        raise ConfigError(f'the variable PORT is {port}: give a number up to 65535') from error
    except OSError as error:
        if error.errno not in (errno.EADDRINUSE, errno.EACCES):
            raise
        raise ConfigError(
            f'port {port} of this machine is in use or reserved: set the variable PORT to another '
            'one, the same on all machines'
        ) from error


def _free_port() -> int:
    with socket.socket() as server:
        server.bind(('127.0.0.1', 0))
        return server.getsockname()[1]


def _say_if_alone(nodes: str, rank: int, place: str) -> None:
    """After a while without the other machines, says on stderr what is waited for."""
    if nodes == '1':
        return

    def say() -> None:
        if not _has_children():
            print(
                f'waiting for the other machines: NNODES is {nodes}, this is NODE_RANK {rank}, '
                f'they meet at {place}; start the same command on each, with its own NODE_RANK, '
                'or correct NNODES, MASTER_ADDR and PORT',
                file=sys.stderr,
                flush=True,
            )

    timer = threading.Timer(WAIT_QUIETLY, say)
    timer.daemon = True
    timer.start()


def _has_children() -> bool:
    """Whether the processes were started, which waits for all machines; True if unknown."""
    children = list(Path('/proc/self/task').glob('*/children'))
    with contextlib.suppress(OSError):
        return not children or any(file.read_text().strip() for file in children)
    return True


if __name__ == '__main__':
    sys.exit(run(main))
