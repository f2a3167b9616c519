"""A test: predicts, evaluates and draws the test set of a config, with or without SegFix."""

import argparse
import contextlib
import copy
import os
import sys
from collections.abc import Mapping

import torch
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.dist import is_main_process
from mmengine.hooks import EarlyStoppingHook, EMAHook, ProfilerHook
from mmengine.runner import Runner
from mmseg.evaluation import IoUMetric as StockIoUMetric

from openseg_plugin import compat
from openseg_plugin.config.building import naming_key
from openseg_plugin.config.loading import (
    default_work_dir,
    load_config,
    merge_options,
    set_cache,
    set_data,
)
from openseg_plugin.config.queries import is_metric, is_model, remove_hooks, with_pipelines
from openseg_plugin.config.validation import check_testing
from openseg_plugin.data_checks.training_check import check_heads
from openseg_plugin.engine.distributed.process_group import (
    destroy,
    init,
    launcher_in_use,
)
from openseg_plugin.engine.hooks.console import ConsoleHook
from openseg_plugin.engine.hooks.report import report_hook, set_report
from openseg_plugin.engine.hooks.visualization import output_names, set_attention
from openseg_plugin.engine.runner.batch_size import EqualImages, set_test_batch
from openseg_plugin.engine.runner.console import Console, make_runner
from openseg_plugin.errors import CheckpointError, ConfigError, DataError
from openseg_plugin.evaluation.boundary_metrics import BoundaryF
from openseg_plugin.evaluation.iou_metric import IoUMetric
from openseg_plugin.export.session import ExportedSegmentor, exported_file
from openseg_plugin.inference.models import resolve, weights_file, with_exported
from openseg_plugin.inference.views import set_views
from openseg_plugin.layers.memory import reuse_freed_memory
from openseg_plugin.models.prepared import Preparation, innermost, prepare
from openseg_plugin.segfix.evaluator import BEFORE, SegFixEvaluator
from openseg_plugin.segfix.segmentor import SegFix

METRIC = 'openseg_plugin.IoUMetric'
BOUNDARY_METRIC = 'openseg_plugin.BoundaryF'
# their work is done when the weights are saved: a checkpoint holds the averaged weights already
_OF_TRAINING = (EMAHook, EarlyStoppingHook, ProfilerHook)
_UNUSED = (
    *('train_dataloader', 'train_cfg', 'optim_wrapper', 'param_scheduler'),
    *('val_dataloader', 'val_cfg', 'val_evaluator'),
)


def measured(args: argparse.Namespace) -> Mapping[str, float] | None:
    """Metrics of a test as the arguments of ``openseg test`` say, in percent.

    None: this process is not the main one.

    Raises:
        UserError: whatever is wrong with arguments, config, data or checkpoint.
    """
    if args.trust_checkpoint:
        compat.trust_checkpoints(True)
    stream = sys.stderr if args.json else None  # stdout has the result alone
    console = None if args.verbose and not args.json else Console(is_test=True, stream=stream)
    try:
        with console.reading() if console else contextlib.nullcontext():
            metrics = _test(args, console)
        return metrics if is_main_process() else None
    finally:
        destroy()


def _test(args: argparse.Namespace, console: Console | None) -> Mapping[str, float]:
    how = Preparation(args.exact, args.precision, args.compiled)
    reuse_freed_memory()
    cfg = testing_config(args)
    if not is_model(cfg.model, ExportedSegmentor):  # whose precision is settled
        how.check(torch.device(get_device()))
    _set_workers(cfg)
    init(cfg, launcher_in_use(args.launcher))
    with naming_key(cfg):
        runner = make_runner(cfg, console)
        if console is not None and console.is_main:
            facts = [('config', args.config), ('weights', args.checkpoint)]
            runner.register_hook(ConsoleHook(console, facts))
        if args.report is not None:
            runner.register_hook(report_hook(args, _settings(args)))
        _load(runner, args.checkpoint)
        check_offsets(runner)
        segmentor = innermost(prepare(runner.model, how))
        segmentor.test_step = EqualImages(segmentor.test_step)
        return runner.test()


def testing_config(args: argparse.Namespace) -> Config:
    """The config with everything that the command line adds.

    Raises:
        ConfigError: no such config, parts of it are missing, or an option does not fit.
        CheckpointError: there is no such checkpoint.
    """
    cfg = _settings(args)
    for key in ('model', 'test_dataloader'):
        if cfg.get(key) is None:
            raise ConfigError(f'config {args.config} has no {key}: it cannot be tested')
    is_exported = is_model(cfg.model, ExportedSegmentor)
    if is_exported and args.show_attention:
        raise ConfigError(
            f'{args.checkpoint} is an exported file, which gives no attention: leave '
            '--show-attention out'
        )
    if '://' not in args.checkpoint and not os.path.exists(args.checkpoint):
        raise CheckpointError(f'checkpoint {args.checkpoint} does not exist')
    check_testing(cfg)
    cfg.update({key: None for key in _UNUSED})
    remove_hooks(cfg, *_OF_TRAINING)
    cfg.update(load_from=None, resume=False)
    cfg.setdefault('test_cfg', dict(type='TestLoop'))
    cfg.work_dir = args.work_dir or cfg.get('work_dir') or default_work_dir(args.config)
    if args.seed is not None:
        cfg.setdefault('randomness', {})['seed'] = args.seed
    refuse_segfix_model(cfg, args)
    set_report(cfg, args)
    _set_views(cfg, args)
    _set_metric(cfg, args)
    set_segfix(cfg, args)
    _forget_labels(cfg, if_missing=args.format_only)
    _set_images(cfg, args.show_dir)
    set_attention(cfg, args)
    set_cache(cfg, cache=args.cache)
    set_test_batch(cfg, args.batch_size)
    return cfg


def _settings(args: argparse.Namespace) -> Config:
    """The config with the options for it; MODEL alone is resolved to both config and checkpoint."""
    if args.checkpoint is not None and not hasattr(args, 'resolved'):
        args.checkpoint = weights_file(args.checkpoint)
        cfg = load_config(args.config, data=args.data, options=args.cfg_options)
        exported = exported_file(args.checkpoint)
        return cfg if exported is None else with_exported(cfg, exported)
    if not hasattr(args, 'resolved'):
        args.resolved = resolve(args.config, whole_config=True)
        args.checkpoint = args.resolved.name
    cfg = copy.deepcopy(args.resolved.cfg)
    if args.data is not None:
        set_data(cfg, args.data)
    merge_options(cfg, args.cfg_options, args.config)
    return cfg


def _set_views(cfg: Config, args: argparse.Namespace) -> None:
    if not args.aug_test:
        if args.scales is not None or args.flip is not None:
            raise ConfigError('--scales and --flip belong to --aug-test: add it or leave them out')
        return
    datasets = [dataset for _, dataset in with_pipelines(cfg.test_dataloader.dataset)]
    set_views(cfg, datasets, scales=args.scales, flip=args.flip)


def _set_metric(cfg: Config, args: argparse.Namespace) -> None:
    evaluators = cfg.get('test_evaluator') or dict(type=METRIC)
    evaluators = [evaluators] if isinstance(evaluators, dict) else list(evaluators)
    metrics = [one for one in evaluators if is_metric(one, IoUMetric, StockIoUMetric)]
    wanted: dict = {}
    if args.eval:
        wanted['iou_metrics'] = args.eval
    if args.out:
        wanted['output_dir'] = args.out
    if args.format_only:
        if not args.out:
            raise ConfigError('--format-only writes label maps: say where with --out DIR')
        wanted['format_only'] = True
    if args.label_ids and not args.out:
        raise ConfigError('--label-ids is about the label maps of --out DIR: add it')
    if wanted and not metrics:
        metrics = [dict(type=METRIC)]
        evaluators += metrics
    for metric in metrics:
        metric.update(wanted)
        if is_metric(metric, IoUMetric):
            name = 'test_aug' if args.aug_test else 'test'
            metric.setdefault('report_dir', os.path.join(cfg.work_dir, name))
            if args.label_ids:
                metric['use_label_ids'] = True
    cfg.test_evaluator = evaluators


def _forget_labels(cfg: Config, *, if_missing: bool) -> None:
    """Takes label folders that are None, on request also missing ones, out of the config.

    A test set without labels needs none when nothing is evaluated.
    """
    for _, dataset in with_pipelines(cfg.test_dataloader.dataset):
        prefix = dataset.get('data_prefix', {})
        if 'seg_map_path' not in prefix:
            continue
        folder = os.path.join(dataset.get('data_root') or '', prefix['seg_map_path'] or '')
        if prefix['seg_map_path'] is None or (if_missing and not os.path.isdir(folder)):
            prefix.pop('seg_map_path')


def _set_workers(cfg: Config) -> None:
    """As many loading processes as help: on a CPU, where the network takes seconds, one."""
    loader = cfg.test_dataloader
    if get_device() == 'cpu' and loader.get('num_workers', 0) > 1:
        loader.num_workers = 1


def _set_images(cfg: Config, folder: str | None) -> None:
    # mmseg's hook would only warn that it draws nothing
    cfg.get('default_hooks', {}).pop('visualization', None)
    if folder is not None:
        hook = dict(type='openseg_plugin.OverlayHook', folder=folder)
        cfg.custom_hooks = [*(cfg.get('custom_hooks') or []), hook]


def _load(runner: Runner, checkpoint: str) -> None:
    """Builds the test set, compares its classes with the model's and loads the weights.

    Raises:
        CheckpointError: the weights cannot be read or do not fit.
        ConfigError: model and dataset differ in their classes.
    """
    model = innermost(runner.model)
    dataset = runner.test_loop.dataloader.dataset
    check_heads(model, dataset)
    for metric in runner.test_loop.evaluator.metrics:
        if hasattr(metric, 'output_names'):
            metric.output_names = output_names(dataset)
    if isinstance(model, ExportedSegmentor):
        return
    try:
        runner.load_checkpoint(checkpoint, strict=True)
    except CheckpointError as error:
        if checkpoint in str(error):
            raise
        raise CheckpointError(f'{checkpoint}: {error}') from error
    except RuntimeError as error:  # mmengine's paragraph about keys and sizes
        text = ' '.join(str(error).split())
        raise CheckpointError(f'{checkpoint} does not fit the model: {text}') from error


def set_segfix(cfg: Config, args: argparse.Namespace) -> None:
    """Puts the refining and the metrics before it into the config; metrics are settled already.

    Raises:
        ConfigError: an option does not fit.
        CheckpointError: there is no such checkpoint.
        DataError: there are no such offsets.
    """
    if args.segfix is None:
        if args.segfix_scale is not None:
            raise ConfigError('--segfix-scale belongs to --segfix: add it or leave it out')
        return
    metrics = [dict(metric) for metric in cfg.test_evaluator]
    if not any(is_metric(metric, BoundaryF) for metric in metrics) and not args.format_only:
        metrics.append(dict(type=BOUNDARY_METRIC))
    before = [] if args.format_only else copy.deepcopy(metrics)
    for metric in before:
        metric.pop('output_dir', None)
    for metric in metrics:
        if metric.get('report_dir'):
            metric['report_dir'] += '_segfix'
    cfg.test_evaluator = dict(
        type='openseg_plugin.SegFixEvaluator',
        metrics=metrics,
        before=before,
        scale=2 if args.segfix_scale is None else args.segfix_scale,
        **segfix_source(args.segfix, exact=args.exact),
    )


def refuse_segfix_model(cfg: Config, args: argparse.Namespace) -> None:
    """A SegFix network itself is tested at one scale and writes no label maps.

    Raises:
        ConfigError: more is asked of it.
    """
    if not is_model(cfg.model, SegFix):
        return
    wanted = ('aug_test', 'out', 'show_dir', 'format_only', 'segfix', 'eval', 'report')
    asked = [f'--{name.replace("_", "-")}' for name in wanted if getattr(args, name)]
    if asked:
        raise ConfigError(
            f'{args.config} is a SegFix network, which predicts no classes: leave '
            f'{" ".join(asked)} out; openseg segfix predict writes its offsets'
        )


def segfix_source(text: str, *, exact: bool = False) -> dict:
    """``network=`` for CONFIG:CKPT, else ``offsets=``."""
    config, colon, checkpoint = text.partition('.py:')
    if not colon:
        inside = text
        while inside and not os.path.exists(inside):  # a folder inside a zip
            inside = os.path.dirname(inside)
        if not inside or (inside != text and not os.path.isfile(inside)):
            raise DataError(
                f'--segfix {text} does not exist: give a folder or zip of offsets, or CONFIG:CKPT'
            )
        return dict(offsets=text)
    if not os.path.isfile(checkpoint):
        raise CheckpointError(f'checkpoint {checkpoint} of --segfix does not exist')
    return dict(network=dict(config=f'{config}.py', checkpoint=checkpoint, exact=exact))


def check_offsets(runner: Runner) -> None:
    """Looks for the offsets of all images before the first is predicted.

    Raises:
        DataError: some are missing.
    """
    loop = runner.test_loop
    if isinstance(loop.evaluator, SegFixEvaluator):
        dataset = loop.dataloader.dataset
        loop.evaluator.check([dataset.get_data_info(i)['img_path'] for i in range(len(dataset))])


def metrics_line(metrics: Mapping[str, float]) -> str:
    """'mIoU 70.00 -> 71.00  aAcc 90.00' for metrics of which some have one before."""
    parts = []
    for name, value in metrics.items():
        if name.endswith(BEFORE) and name.removesuffix(BEFORE) in metrics:
            continue
        before = metrics.get(f'{name}{BEFORE}')
        change = '' if before is None else f'{before:.2f} -> '
        parts.append(f'{name} {change}{value:.2f}')
    return '  '.join(parts)
