"""``tools/test.py``: predicts, evaluates and draws the test set of a config."""

import argparse
import os
from collections.abc import Sequence

from mmengine.config import Config
from mmengine.dist import is_main_process
from mmengine.hooks import EarlyStoppingHook, EMAHook, ProfilerHook
from mmengine.runner import Runner
from mmseg.evaluation import IoUMetric as StockIoUMetric
from mmseg.registry import RUNNERS

from openseg_plugin import compat
from openseg_plugin.cli.parser import ArgumentParser
from openseg_plugin.cli.segfix_test import (
    add_segfix_options,
    check_offsets,
    metrics_line,
    refuse_segfix_model,
    set_segfix,
)
from openseg_plugin.config.building import naming_key
from openseg_plugin.config.loading import add_data_option, default_work_dir, load_config
from openseg_plugin.config.queries import (
    is_metric,
    remove_hooks,
    with_pipelines,
)
from openseg_plugin.config.validation import check_testing
from openseg_plugin.data_checks.training_check import check_heads
from openseg_plugin.engine.distributed.process_group import (
    LAUNCHERS,
    destroy,
    init,
    launcher_in_use,
)
from openseg_plugin.engine.hooks.report import add_report_options, report_hook, set_report
from openseg_plugin.engine.hooks.visualization import (
    add_attention_option,
    output_names,
    set_attention,
)
from openseg_plugin.errors import CheckpointError, ConfigError
from openseg_plugin.evaluation.iou_metric import IoUMetric
from openseg_plugin.inference.views import set_views

METRIC = 'openseg_plugin.IoUMetric'
# their work is done when the weights are saved: a checkpoint holds the averaged weights already
_OF_TRAINING = (EMAHook, EarlyStoppingHook, ProfilerHook)
_UNUSED = ('train_dataloader', 'train_cfg', 'optim_wrapper', 'param_scheduler')
_UNUSED += ('val_dataloader', 'val_cfg', 'val_evaluator')


def main(argv: Sequence[str] | None = None) -> int:
    """Tests as the arguments say (those of the command line by default); returns 0.

    Raises:
        UserError: whatever is wrong with arguments, config, data or checkpoint.
    """
    args = _parse(argv)
    if args.trust_checkpoint:
        compat.trust_checkpoints(True)
    cfg = testing_config(args)
    try:
        init(cfg, launcher_in_use(args.launcher))
        with naming_key(cfg):
            runner = Runner.from_cfg(cfg) if 'runner_type' not in cfg else RUNNERS.build(cfg)
            if args.report is not None:
                settings = load_config(args.config, data=args.data, options=args.cfg_options)
                runner.register_hook(report_hook(args, settings))
            _load(runner, args.checkpoint)
            check_offsets(runner)
            metrics = runner.test()
        if is_main_process():
            print(metrics_line(metrics))
    finally:
        destroy()
    return 0


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = ArgumentParser('Test a segmentor.')
    parser.add_argument('config', help='config file')
    parser.add_argument('checkpoint', help='weights, also those of other projects')
    add_data_option(parser)
    parser.add_argument('--work-dir', help='folder for the log and the metrics per class')
    parser.add_argument('--out', metavar='DIR', help='write the label maps as PNG there')
    parser.add_argument('--show-dir', metavar='DIR', help='draw every prediction there')
    parser.add_argument(
        '--format-only', action='store_true', help='write label maps, evaluate nothing; needs --out'
    )
    parser.add_argument(
        '--label-ids', action='store_true', help="write the dataset's label ids (Cityscapes)"
    )
    parser.add_argument(
        '--eval', nargs='+', metavar='FIGURE', help='mIoU, mDice, mFscore; the config says which'
    )
    parser.add_argument(
        '--aug-test',
        '--tta',
        action='store_true',
        dest='aug_test',
        help='test-time augmentation: multiple scales, flipped',
    )
    parser.add_argument('--scales', nargs='+', type=float, help='of --aug-test, such as 0.5 1 2')
    parser.add_argument(
        '--flip', action=argparse.BooleanOptionalAction, help='flipped views in --aug-test'
    )
    add_segfix_options(parser)
    add_attention_option(parser)
    parser.add_cfg_options()
    add_report_options(parser)
    parser.add_argument('--launcher', choices=LAUNCHERS, help='found by itself under torchrun')
    parser.add_argument('--seed', type=int, help='of whatever the model draws at random')
    parser.add_argument(
        '--trust-checkpoint',
        action='store_true',
        help='read checkpoints that may run code; only for files whose origin you trust',
    )
    parser.add_argument('--local_rank', '--local-rank', type=int, help=argparse.SUPPRESS)
    return parser.parse_args(argv)


def testing_config(args: argparse.Namespace) -> Config:
    """The config with everything that the command line adds.

    Raises:
        ConfigError: no such config, parts of it are missing, or an option does not fit.
        CheckpointError: there is no such checkpoint.
    """
    cfg = load_config(args.config, data=args.data, options=args.cfg_options)
    for key in ('model', 'test_dataloader'):
        if cfg.get(key) is None:
            raise ConfigError(f'config {args.config} has no {key}: it cannot be tested')
    if '://' not in args.checkpoint and not os.path.isfile(args.checkpoint):
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
    model = getattr(runner.model, 'module', runner.model)  # distributed
    model = getattr(model, 'module', model)  # test-time augmentation
    dataset = runner.test_loop.dataloader.dataset
    check_heads(model, dataset)
    for metric in runner.test_loop.evaluator.metrics:
        if hasattr(metric, 'output_names'):
            metric.output_names = output_names(dataset)
    try:
        runner.load_checkpoint(checkpoint, strict=True)
    except CheckpointError as error:
        if checkpoint in str(error):
            raise
        raise CheckpointError(f'{checkpoint}: {error}') from error
    except RuntimeError as error:  # mmengine's paragraph about keys and sizes
        text = ' '.join(str(error).split())
        raise CheckpointError(f'{checkpoint} does not fit the model: {text}') from error
