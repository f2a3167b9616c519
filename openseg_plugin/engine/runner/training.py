"""A training: what the arguments of ``openseg train`` make of a config, and its run."""

import argparse
import math
import os
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from mmengine.config import Config
from mmengine.logging import print_log
from mmengine.optim import AmpOptimWrapper, OptimWrapper
from mmengine.runner import Runner
from mmseg.registry import RUNNERS

from openseg_plugin import compat
from openseg_plugin.config.building import naming_key
from openseg_plugin.config.loading import default_work_dir, load_config
from openseg_plugin.config.queries import find_hook, is_ours, is_pretrained, is_wrapper
from openseg_plugin.config.validation import check_training
from openseg_plugin.engine.distributed.process_group import (
    destroy,
    init,
    launcher_in_use,
    run_on_main,
)
from openseg_plugin.engine.hooks.checkpoint import CheckpointHook
from openseg_plugin.engine.runner.resume import TEMPLATES, checkpoint_folder, locked, resumable
from openseg_plugin.errors import CheckpointError, ConfigError

AUTO = 'auto'
_TRAINING_KEYS = ('model', 'train_dataloader', 'train_cfg', 'optim_wrapper')


def train(args: argparse.Namespace) -> int:
    """Trains as the arguments of ``openseg train`` say; returns 0.

    Raises:
        UserError: whatever is wrong with arguments, config, data or checkpoint.
    """
    if args.trust_checkpoint:
        compat.trust_checkpoints(True)
    cfg = training_config(args)
    try:
        init(cfg, launcher_in_use(args.launcher))
        with locked(cfg.work_dir), naming_key(cfg):
            set_resume(cfg, args.resume)
            leave_out_replaced_weights(cfg)
            runner = Runner.from_cfg(cfg) if 'runner_type' not in cfg else RUNNERS.build(cfg)
            runner.load_checkpoint = partial(_load_named, runner.load_checkpoint)
            runner.train()
    finally:
        destroy()
    return 0


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
    for split in ('val', 'test'):  # a schedule names loops for both; a dataset need not have both
        if cfg.get(f'{split}_dataloader') is None:
            cfg[f'{split}_cfg'] = cfg[f'{split}_evaluator'] = None
    if args.work_dir is not None:
        cfg.work_dir = args.work_dir
    elif cfg.get('work_dir') is None:
        cfg.work_dir = default_work_dir(args.config)
    hooks = cfg.get('default_hooks', {})
    if not (hooks.get('visualization') or {}).get('draw'):
        hooks.pop('visualization', None)  # mmseg's hook would only warn that it draws nothing
    if args.drop_classifier:
        cfg.model.drop_classifier = True
    _set_randomness(cfg, seed=args.seed, deterministic=args.deterministic)
    _set_precision(cfg, amp=args.amp)
    _override_lr(cfg, args)
    check_training(cfg)
    return cfg


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
    randomness = cfg.setdefault('randomness', dict(seed=None))
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
    if torch.cuda.is_available():
        wrapper['type'] = 'AmpOptimWrapper'
        wrapper.setdefault('loss_scale', 'dynamic')
        return
    wrapper['type'] = 'openseg_plugin.CPUAmpOptimWrapper'
    wrapper.pop('loss_scale', None)
    wrapper.pop('dtype', None)
    print_log('no GPU: mixed precision is bfloat16 autocast on the CPU, without loss scaling')


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
    elif run_on_main(lambda: _has_checkpoint(cfg)):
        cfg.load_from = None  # CheckpointHook chooses
    else:
        cfg.resume = False
        print_log(f'--resume: no checkpoint in {cfg.work_dir} yet, the training starts afresh')


def _has_checkpoint(cfg: Config) -> bool:
    hook: Any = find_hook(cfg, CheckpointHook) or {}
    folder = checkpoint_folder(cfg.work_dir, hook.get('out_dir'))
    return bool(resumable(folder, template=hook.get('filename_tmpl') or TEMPLATES[0]))


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
        print_log(f'load_from brings all weights: {init.get("checkpoint")} is not read')
    if model.backbone.get('pretrained') is True:  # openseg_plugin.TimmBackbone
        model.backbone.pretrained = False
        print_log(f"load_from brings all weights: timm's of {model.backbone.model_name} are not")
