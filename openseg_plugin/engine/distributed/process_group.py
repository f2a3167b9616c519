"""Starting one of several processes: torchrun, slurm or MPI, with GPUs (nccl) or without (gloo).

mmengine starts them too, but only with GPUs: it selects one in any case.
"""

import gc
import inspect
import os
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed.nn  # its default arguments would keep a group that is there already
from mmengine.config import Config
from mmengine.dist import broadcast_object_list, is_main_process
from torch import distributed
from torch.nn.parallel import DistributedDataParallel

from openseg_plugin.errors import ConfigError, UserError

T = TypeVar('T')
# launcher: variables of process number, number of processes, process number on its machine
_VARIABLES = {
    'pytorch': ('RANK', 'WORLD_SIZE', 'LOCAL_RANK'),
    'slurm': ('SLURM_PROCID', 'SLURM_NTASKS', 'SLURM_LOCALID'),
    'mpi': ('OMPI_COMM_WORLD_RANK', 'OMPI_COMM_WORLD_SIZE', 'OMPI_COMM_WORLD_LOCAL_RANK'),
}
_HOW_TO = {
    'pytorch': 'start it with torchrun --nproc-per-node GPUS -m openseg_plugin train CONFIG',
    'slurm': 'start it with bash tools/slurm_train.sh PARTITION JOB_NAME CONFIG (or srun)',
    'mpi': 'start it with mpirun',
}


LAUNCHER_VARIABLE = 'OPENSEG_PLUGIN_LAUNCHER'  # process id, set by openseg_plugin.cli.launch
_LOOK_EVERY = 2.0  # seconds
_TIME_TO_FREE = 0.02  # seconds
_TIME_TO_SAVE = 20.0  # seconds between the launcher's end and that of a process that waits


def launcher_in_use(named: str | None) -> str:
    """The launcher that was named, else 'pytorch' under torchrun, else 'none'."""
    if named is not None:
        return named
    return 'pytorch' if 'TORCHELASTIC_RUN_ID' in os.environ else 'none'


def init(cfg: Config, launcher: str) -> None:
    """Makes this process one of the group and the config fit for it; does nothing for 'none'.

    Without a GPU the backend is gloo.

    Raises:
        ConfigError: the launcher's variables are missing, or there are more processes than GPUs.
    """
    cfg.launcher = launcher
    if launcher == 'none':
        return
    if 'TORCHELASTIC_RUN_ID' in os.environ:
        end_with_launcher()
    rank, world_size, local_rank = _numbers(launcher)
    os.environ.update(RANK=str(rank), WORLD_SIZE=str(world_size), LOCAL_RANK=str(local_rank))
    _name_meeting_point(launcher)
    options = dict(cfg.get('env_cfg', {}).get('dist_cfg', {}))
    if 'timeout' in options:
        options['timeout'] = timedelta(seconds=options['timeout'])
    devices = None
    if torch.cuda.is_available():
        check_gpus(local_rank + 1)
        torch.cuda.set_device(local_rank)
        devices = [local_rank]
    else:
        options['backend'] = 'gloo'
        os.register_at_fork(before=_let_gloo_finish)
    cfg.setdefault('model_wrapper_cfg', _wrapper(cfg, devices))
    distributed.init_process_group(**options)


def _let_gloo_finish() -> None:
    """Waits before a loading process is forked.

    After an exchange a thread of gloo frees its tensors, for which it takes a lock of the
    interpreter for some microseconds. Python 3.11 hands that lock to a child that is forked
    meanwhile as taken, and the child waits for it for ever.
    """
    time.sleep(_TIME_TO_FREE)


def end_with_launcher() -> None:
    """This process ends within half a minute of its launcher, also when that is killed.

    It is told by SIGTERM, so a training saves first; if it waits for processes that are gone, it
    ends without that.
    """
    parent = os.getppid()
    started_by = int(os.environ.get(LAUNCHER_VARIABLE, parent))
    is_orphan = started_by != parent and not _is_alive(started_by)  # it went while we imported

    def watch() -> None:
        while os.getppid() == parent and not is_orphan:
            time.sleep(_LOOK_EVERY)
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(_TIME_TO_SAVE)
        os._exit(128 + signal.SIGTERM)

    threading.Thread(target=watch, daemon=True, name='launcher').start()


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def destroy() -> None:
    """Ends the membership, if there is one, and the threads that served it.

    They end with the last object that knows the group: a model that was wrapped for it lives in
    reference cycles of its runner, or in the frames of an error that is on its way. A thread that
    frees the last exchanged tensor while the interpreter ends would abort the process (134).
    """
    if not (distributed.is_available() and distributed.is_initialized()):
        return
    error = sys.exc_info()[1]
    while error is not None:
        traceback.clear_frames(error.__traceback__)
        error = error.__cause__ or error.__context__
    gc.collect()
    distributed.destroy_process_group()


def check_gpus(wanted: int) -> None:
    """Makes sure that this machine has ``wanted`` GPUs, or none at all (then gloo is used).

    Raises:
        ConfigError: it has some, but fewer.
    """
    there = torch.cuda.device_count()
    if 0 < there < wanted:
        raise ConfigError(
            f'{wanted} GPUs were asked for, but this machine has {there}: ask for {there} or fewer'
        )


def run_on_main(action: Callable[[], T]) -> T:
    """Result of ``action`` on the main process, on all processes; so is its error.

    Raises:
        UserError, OSError: what went wrong on the main process, on every process.
    """
    outcome: list[Any] = [None, None]  # result, error
    if is_main_process():
        try:
            outcome[0] = action()
        except (UserError, OSError) as error:
            outcome[1] = error
    broadcast_object_list(outcome)
    if outcome[1] is not None:
        raise outcome[1]
    return outcome[0]


def _numbers(launcher: str) -> list[int]:
    names = _VARIABLES[launcher]
    missing = [name for name in names if name not in os.environ]
    if missing:
        raise ConfigError(
            f'--launcher {launcher} needs the variable {missing[0]}, which is not set: '
            f'{_HOW_TO[launcher]}'
        )
    return [int(os.environ[name]) for name in names]


def _name_meeting_point(launcher: str) -> None:
    os.environ.setdefault('MASTER_PORT', '29500')
    if 'MASTER_ADDR' in os.environ:
        return
    if launcher == 'slurm':
        nodes = os.environ.get('SLURM_NODELIST', 'localhost')
        answer = subprocess.run(
            ['scontrol', 'show', 'hostname', nodes], capture_output=True, text=True, check=False
        )
        os.environ['MASTER_ADDR'] = answer.stdout.split('\n')[0] or 'localhost'
    else:
        os.environ['MASTER_ADDR'] = '127.0.0.1'


def _wrapper(cfg: Config, devices: list[int] | None) -> dict:
    """What the runner wraps by itself, but also for a CPU, and under the name of today's option."""
    known = inspect.signature(DistributedDataParallel).parameters
    option = 'forward_sync_buffers' if 'forward_sync_buffers' in known else 'broadcast_buffers'
    return dict(
        type='MMDistributedDataParallel',
        device_ids=devices,
        find_unused_parameters=cfg.get('find_unused_parameters', False),
        **{option: False},
    )
