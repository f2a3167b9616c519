"""torchrun with clear errors: ``python -m ...launch GPUS SCRIPT [ARGUMENTS]``.

Starts GPUS processes of SCRIPT on this machine, one per GPU, or as many as asked for where there
is no GPU (gloo). Variables as in mmseg's scripts: NNODES and NODE_RANK (machines and the number of
this one), MASTER_ADDR and PORT (where they meet; a free port by itself on one machine).

The exit status is that of the process that failed first, 143 after a SIGTERM; torchrun itself has
1 for all of these, under a page of its own traceback.
"""

import logging
import os
import signal
import socket
import sys
from collections.abc import Sequence

from openseg_plugin.cli.main import run
from openseg_plugin.errors import ConfigError


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the processes to their end; returns the exit status.

    Raises:
        ConfigError: GPUS is no number, or larger than what is there; the script does not exist.
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
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.run import get_args_parser
    from torch.distributed.run import run as run_elastic

    if '--debug' not in command:
        logging.getLogger('torch.distributed.elastic').setLevel(logging.CRITICAL)
    # each process gets its fraction of the cores; torchrun and mmengine would warn and choose 1
    share = str(max(1, (os.cpu_count() or 1) // number))
    for library in ('OMP', 'MKL'):
        os.environ.setdefault(f'{library}_NUM_THREADS', share)
    args = get_args_parser().parse_args(
        [*_meeting_options(), f'--nproc_per_node={number}', *command]
    )
    try:
        run_elastic(args)
    except ChildFailedError as error:
        rank, failure = error.get_first_failure()
        status = failure.exitcode if failure.exitcode > 0 else 128 - failure.exitcode
        print(f'process {rank} ended with status {status}', file=sys.stderr)
        return status
    except SignalException as error:
        return 128 + int(error.sigval or signal.SIGTERM)
    return 0


def _meeting_options() -> list[str]:
    nodes = os.environ.get('NNODES', '1')
    port = os.environ.get('PORT')
    if nodes == '1' and port is None:
        port = str(_free_port())
    return [
        f'--nnodes={nodes}',
        f'--node_rank={os.environ.get("NODE_RANK", "0")}',
        f'--master_addr={os.environ.get("MASTER_ADDR", "127.0.0.1")}',
        f'--master_port={port or "29500"}',
    ]


def _free_port() -> int:
    with socket.socket() as server:
        server.bind(('127.0.0.1', 0))
        return server.getsockname()[1]


if __name__ == '__main__':
    sys.exit(run(main))
