"""A training: what the arguments of ``openseg train`` make of a config, and its run."""

import argparse
import contextlib
import importlib.util
import math
import os
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.dist import get_world_size, is_main_process
from mmengine.hooks import CheckpointHook as MMEngineCheckpointHook
from mmengine.hooks import EarlyStoppingHook as MMEngineEarlyStoppingHook
from mmengine.hooks import EMAHook
from mmengine.optim import AmpOptimWrapper, OptimWrapper
from mmseg.registry import VISBACKENDS

from openseg_plugin import compat
from openseg_plugin.config.building import naming_key
from openseg_plugin.config.loading import default_work_dir, load_config, set_cache
from openseg_plugin.config.queries import (
    find_hook,
    is_a,
    is_ours,
    is_pretrained,
    is_wrapper,
    remove_hooks,
    resolve,
)
from openseg_plugin.config.validation import check_built_hooks, check_training, check_types
from openseg_plugin.converters.checkpoints import read_checkpoint
from openseg_plugin.converters.checkpoints.release import HUB_WEIGHTS, is_hub_folder
from openseg_plugin.converters.checkpoints.stored_config import stored_config
from openseg_plugin.engine.distributed.process_group import (
    destroy,
    init,
    launcher_in_use,
    run_on_main,
)
from openseg_plugin.engine.hooks.checkpoint import CheckpointHook
from openseg_plugin.engine.hooks.console import ConsoleHook
from openseg_plugin.engine.hooks.plots import ConfusionHook
from openseg_plugin.engine.hooks.signals import TimeIsUp
from openseg_plugin.engine.optim.schedulers import computes_bfloat16
from openseg_plugin.engine.runner.batch_size import largest_batch
from openseg_plugin.engine.runner.console import Console, make_runner, note
from openseg_plugin.engine.runner.resume import (
    TEMPLATES,
    checkpoint_folder,
    damaged,
    locked,
    resumable,
)
from openseg_plugin.errors import CheckpointError, ConfigError, DependencyError, UserError
from openseg_plugin.layers.memory import KEPT_IN_TRAINING, reuse_freed_memory

AUTO = 'auto'
# A tenth of what was trained is averaged, 5000 iterations at most; checkpoints and validations have
# the average.
_EMA = dict(type='EMAHook', ema_type='MomentumAnnealingEMA', momentum=0.0002, gamma=10)
# option -> package, backend of the visualizer
_TRACKERS = {
    'tensorboard': ('tensorboard', 'TensorboardVisBackend'),
    'wandb': ('wandb', 'WandbVisBackend'),
    'mlflow': ('mlflow', 'MLflowVisBackend'),
}
_MLFLOW_SERVER = 'MLFLOW_TRACKING_URI'
_TRAINING_KEYS = ('model', 'train_dataloader', 'train_cfg', 'optim_wrapper')


def train(args: argparse.Namespace) -> dict[str, Any] | None:
    """Trains as the arguments of ``openseg train`` say.

    Returns:
        What came of it: ``work_dir``, ``iteration``, paths of the last and the best checkpoint, and
        metrics of the last validation. None: this process is not the main one.

    Raises:
        UserError: whatever is wrong with arguments, config, data or checkpoint.
    """
    if args.trust_checkpoint:
        compat.trust_checkpoints(True)
    stream = sys.stderr if args.json else None  # stdout has the result alone
    console = None if args.verbose and not args.json else Console(stream=stream)
    try:
        with console.reading() if console else contextlib.nullcontext():
            return _train(args, console)
    finally:
        destroy()


def _train(args: argparse.Namespace, console: Console | None) -> dict[str, Any] | None:
    if get_device() == 'cpu':
        reuse_freed_memory(KEPT_IN_TRAINING)
    cfg = training_config(args)
    init(cfg, launcher_in_use(args.launcher))
    with locked(cfg.work_dir), naming_key(cfg):
        set_resume(cfg, args.resume)
        leave_out_replaced_weights(cfg)
        _set_batch_size(cfg, args.batch_size)
        runner = make_runner(cfg, console)
        check_built_hooks(runner.hooks, cfg)
        if console is not None and console.is_main:
            runner.register_hook(ConsoleHook(console, [('config', args.config)]))
        runner.load_checkpoint = partial(_load_named, runner.load_checkpoint)
        runner.resume = partial(_resume_named, runner.resume)
        with contextlib.suppress(TimeIsUp):
            runner.train()
    return _result(runner) if is_main_process() else None


def _result(runner: Any) -> dict[str, Any]:
    info, scalars = runner.message_hub.runtime_info, runner.message_hub.log_scalars
    return dict(
        work_dir=runner.work_dir,
        iteration=runner.iter,
        checkpoint=info.get('last_ckpt'),
        best=info.get('best_ckpt'),
        metrics={
            name.removeprefix('val/'): float(history.current())
            for name, history in scalars.items()
            if name.startswith('val/') and not name.endswith('time')
        },
    )


def _load_named(load: Callable[..., Any], filename: str, *arguments: Any, **named: Any) -> Any:
    """``load``, whose errors say which file it was.

    Raises:
        CheckpointError: the weights cannot be read or do not fit.
    """
    try:
        return load(filename, *arguments, **named)
    except CheckpointError as error:
        if filename in str(error):
            raise
        raise CheckpointError(f'{filename}: {error}') from error


def _resume_named(resume: Callable[..., Any], filename: str, *arguments: Any, **named: Any) -> Any:
    """``resume``, which takes the state of a training for what it was when it was written.

    Raises:
        CheckpointError: it is not.
    """
    try:
        return resume(filename, *arguments, **named)
    except (UserError, torch.OutOfMemoryError):  # the latter is a RuntimeError, too
        raise
    except (AttributeError, KeyError, IndexError, TypeError, ValueError, RuntimeError) as error:
        raise damaged(filename, error) from error


def training_config(args: argparse.Namespace) -> Config:
    """The config with everything that the command line adds but ``--resume``.

    Raises:
        ConfigError: no such config, parts of it are missing, or an option does not fit.
    """
    cfg = load_config(args.config, options=args.cfg_options)
    missing = [key for key in _TRAINING_KEYS if cfg.get(key) is None]
    if missing:
        raise ConfigError(
            f'config {args.config} has no {" and no ".join(missing)}: it cannot be trained'
        )
    check_types(cfg)
    for split in ('val', 'test'):  # a schedule names loops for both; a dataset need not have both
        if cfg.get(f'{split}_dataloader') is None:
            cfg[f'{split}_cfg'] = cfg[f'{split}_evaluator'] = None
    if args.work_dir is not None:
        cfg.work_dir = args.work_dir
    elif cfg.get('work_dir') is None:
        cfg.work_dir = default_work_dir(args.config)
    hooks = cfg.get('default_hooks') or {}
    drawing = hooks.get('visualization') or {}
    if isinstance(drawing, dict) and not drawing.get('draw'):
        hooks.pop('visualization', None)  # mmseg's hook would only warn that it draws nothing
    if args.drop_classifier:
        cfg.model.drop_classifier = True
    _set_randomness(cfg, seed=args.seed, deterministic=args.deterministic)
    _set_precision(cfg, amp=args.amp)
    _override_lr(cfg, args)
    _set_weights(cfg, args)
    _set_averaging_and_end(cfg, args)
    if args.compile is not None:
        hook = dict(type='openseg_plugin.CompileHook', mode=args.compile)
        cfg.custom_hooks = [*(cfg.get('custom_hooks') or []), hook]
    _set_trackers(cfg, args)
    set_cache(cfg, cache=args.cache, exact_resample=args.exact_resample)
    check_training(cfg)
    return cfg


def _set_weights(cfg: Config, args: argparse.Namespace) -> None:
    if args.load_from is not None:
        from openseg_plugin.inference.models import weights_file  # other runs do without

        found = weights_file(args.load_from)
        if is_hub_folder(found):
            found = os.path.join(found, HUB_WEIGHTS)
        if '://' not in found and not os.path.isfile(found):
            raise CheckpointError(
                f'--load-from {args.load_from}: there is no such file, and the model zoo has no '
                'such name ("openseg weights list" names all)'
            )
        cfg.load_from = found
    if args.freeze:
        cfg.frozen_parts = list(args.freeze)


def _set_averaging_and_end(cfg: Config, args: argparse.Namespace) -> None:
    """Adds ``--accumulate``, ``--ema``, ``--early-stop`` and ``--max-time``."""
    if args.accumulate is not None:
        if not is_wrapper(cfg.optim_wrapper, OptimWrapper, AmpOptimWrapper) and (
            'optimizer' not in cfg.optim_wrapper
        ):
            raise ConfigError('--accumulate needs one optimizer in optim_wrapper')
        cfg.optim_wrapper.accumulative_counts = args.accumulate
    added: list[dict] = []
    if args.ema and find_hook(cfg, EMAHook) is None:
        added.append(_EMA)
    if args.early_stop is not None:
        if cfg.get('val_dataloader') is None:
            raise ConfigError('--early-stop needs validations: the config has no val_dataloader')
        remove_hooks(cfg, MMEngineEarlyStoppingHook)
        best = (find_hook(cfg, MMEngineCheckpointHook) or {}).get('save_best')
        monitor = best if isinstance(best, str) and best != 'auto' else 'mIoU'
        kind = 'openseg_plugin.EarlyStoppingHook'
        added.append(dict(type=kind, monitor=monitor, patience=args.early_stop))
    if args.max_time is not None:
        added.append(dict(type='openseg_plugin.MaxTimeHook', seconds=args.max_time))
    if added:
        cfg.custom_hooks = [*(cfg.get('custom_hooks') or []), *added]


def _set_trackers(cfg: Config, args: argparse.Namespace) -> None:
    """Adds the backends of the visualizer that ``--tensorboard`` and its like ask for."""
    for option, (module, kind) in _TRACKERS.items():
        if not getattr(args, option):
            continue
        if importlib.util.find_spec(module) is None:
            raise DependencyError(f'--{option} needs {module}: pip install {module}')
        visualizer = cfg.get('visualizer') or dict(type='SegLocalVisualizer', name='visualizer')
        backends = list(visualizer.get('vis_backends') or [dict(type='LocalVisBackend')])
        backend = resolve(dict(type=kind), VISBACKENDS)
        if not any(is_a(one, VISBACKENDS, backend) for one in backends):
            run = os.path.basename(os.path.abspath(cfg.work_dir))
            named = dict(
                wandb=dict(init_kwargs=dict(name=run)),
                mlflow=dict(run_name=run, tracking_uri=os.environ.get(_MLFLOW_SERVER)),
            ).get(option, {})
            backends.append(dict(type=kind, **named))
        if option == 'mlflow' and _MLFLOW_SERVER not in os.environ:
            # what is written without a server are files, which mlflow 3 asks permission for
            os.environ.setdefault('MLFLOW_ALLOW_FILE_STORE', 'true')
        cfg.visualizer = dict(visualizer, vis_backends=backends)
        if cfg.get('val_dataloader') and find_hook(cfg, ConfusionHook) is None:
            hook = dict(type='openseg_plugin.ConfusionHook')
            cfg.custom_hooks = [*(cfg.get('custom_hooks') or []), hook]


def _set_batch_size(cfg: Config, wanted: int | str | None) -> None:
    """Images per process and iteration, and the learning rate that fits them.

    The rate of a config is that of ``auto_scale_lr.base_batch_size`` images where it says so, else
    of its own batches. It is scaled in proportion.
    """
    if wanted is None:
        return
    loader, world = cfg.train_dataloader, get_world_size()
    base = (cfg.get('auto_scale_lr') or {}).get('base_batch_size') or loader.batch_size * world
    if wanted == AUTO:
        wanted = _batch_size_of_run(cfg) or largest_batch(cfg)
    loader.batch_size = wanted
    cfg.auto_scale_lr = dict(enable=True, base_batch_size=base)
    note(
        f'batch size {wanted}: the learning rate, for {base} images, times '
        f'{wanted * world / base:.4g}',
    )


def _batch_size_of_run(cfg: Config) -> int | None:
    """The batch size of the run that ``--resume`` goes on with; None for a new one."""
    if not cfg.resume:
        return None

    def read() -> int | None:
        path = cfg.load_from or _checkpoints(cfg)[0]
        config = stored_config(read_checkpoint(path, trust=compat.checkpoints_are_trusted()))
        return config['train_dataloader']['batch_size'] if config else None

    return run_on_main(read)


def _override_lr(cfg: Config, args: argparse.Namespace) -> None:
    if args.override_lr is None:
        return
    if args.resume is None:
        raise ConfigError(
            '--override-lr belongs to --resume: add it, or start with --cfg-options '
            'optim_wrapper.optimizer.lr=LR'
        )
    if not 0 < args.override_lr < math.inf:
        raise ConfigError(f'--override-lr {args.override_lr}: give a number above 0')
    hook = find_hook(cfg, CheckpointHook)
    if hook is None or 'optimizer' not in cfg.optim_wrapper:
        raise ConfigError(
            "--override-lr needs default_hooks.checkpoint of type='openseg_plugin.CheckpointHook' "
            'and one optimizer in optim_wrapper'
        )
    cfg.optim_wrapper.optimizer.lr = args.override_lr
    hook['override_lr'] = True


def _set_randomness(cfg: Config, *, seed: int | None, deterministic: bool) -> None:
    randomness = cfg.setdefault('randomness', {})
    randomness.setdefault('seed', None)
    if seed is not None:
        if not 0 <= seed < 2**32:
            raise ConfigError(f'--seed {seed}: give a number from 0 to {2**32 - 1}')
        randomness['seed'] = seed
    if deterministic:
        randomness['deterministic'] = True
        cfg.setdefault('env_cfg', {})['cudnn_benchmark'] = False
        os.environ.setdefault('CUBLAS_WORKSPACE_CONFIG', ':4096:8')  # cuBLAS refuses without


def _set_precision(cfg: Config, *, amp: bool) -> None:
    wrapper = cfg.optim_wrapper
    if is_wrapper(wrapper, OptimWrapper) and not amp:
        return
    if not is_wrapper(wrapper, OptimWrapper, AmpOptimWrapper):
        if amp:
            raise ConfigError(
                '--amp needs optim_wrapper.type OptimWrapper, the config has '
                f'{wrapper.get("type")}: leave one out'
            )
        return
    # a config that asks for a type or a scale of the loss keeps them
    is_chosen = is_wrapper(wrapper, AmpOptimWrapper) or not wrapper.keys().isdisjoint(
        ('dtype', 'loss_scale')
    )
    if torch.cuda.is_available() and (is_chosen or not computes_bfloat16()):
        wrapper['type'] = 'AmpOptimWrapper'
        wrapper.setdefault('loss_scale', 'dynamic')
        return
    wrapper['type'] = 'openseg_plugin.BFloat16OptimWrapper'
    wrapper.pop('loss_scale', None)
    wrapper.pop('dtype', None)
    device = 'GPU' if torch.cuda.is_available() else 'CPU'
    slower = '' if computes_bfloat16() else '; this CPU has no instructions for it: it is slower'
    note(f'mixed precision is bfloat16 autocast on the {device}, without loss scaling{slower}')


def set_resume(cfg: Config, wanted: str | None) -> None:
    """Adds ``--resume``; keeps weights to start from and the run to continue apart.

    All processes must call this together: the main one looks into the work folder.

    Args:
        cfg: changed in place.
        wanted: 'auto', a path, or None for no resume.

    Raises:
        CheckpointError: the checkpoint that was named does not exist.
    """
    if wanted is None:
        return
    cfg.resume = True
    if wanted != AUTO:
        if not os.path.isfile(wanted):
            raise CheckpointError(
                f'--resume {wanted}: there is no such checkpoint; --resume alone takes the newest '
                f'in {cfg.work_dir}'
            )
        cfg.load_from = wanted
    elif run_on_main(lambda: bool(_checkpoints(cfg))):
        cfg.load_from = None  # CheckpointHook chooses
    else:
        cfg.resume = False
        note(f'--resume: no checkpoint in {cfg.work_dir} yet, the training starts afresh')


def _checkpoints(cfg: Config) -> list[str]:
    hook: Any = find_hook(cfg, CheckpointHook) or {}
    folder = checkpoint_folder(cfg.work_dir, hook.get('out_dir'))
    return resumable(folder, template=hook.get('filename_tmpl') or TEMPLATES[0])


def leave_out_replaced_weights(cfg: Config) -> None:
    """No ImageNet weights for a backbone whose weights ``load_from`` brings: they may be far away.

    Only for networks of this package, which refuse files that hold less than the whole network.
    """
    model = cfg.model
    init: Any = (model.get('backbone') or {}).get('init_cfg')
    if not (cfg.get('load_from') and is_ours(model)):
        return
    if is_pretrained(init):
        model.backbone.init_cfg = None
        note(f'load_from brings all weights: {init.get("checkpoint")} is not read')
    if model.backbone.get('pretrained') is True:  # openseg_plugin.TimmBackbone
        model.backbone.pretrained = False
        note(f"load_from brings all weights: timm's of {model.backbone.model_name} are not")
