"""What ``--segfix`` adds to ``tools/test.py``."""

import argparse
import copy
import os
from collections.abc import Mapping

from mmengine.config import Config
from mmengine.runner import Runner

from openseg_plugin.config.queries import is_metric, is_model
from openseg_plugin.errors import CheckpointError, ConfigError, DataError
from openseg_plugin.evaluation.boundary_metrics import BoundaryF
from openseg_plugin.segfix.evaluator import BEFORE, SegFixEvaluator
from openseg_plugin.segfix.segmentor import SegFix

BOUNDARY_METRIC = 'openseg_plugin.BoundaryF'


def add_segfix_options(parser: argparse.ArgumentParser) -> None:
    """Adds ``--segfix`` and ``--segfix-scale``."""
    parser.add_argument(
        '--segfix',
        metavar='OFFSETS',
        help='refine the predictions and print the metrics before and after: a folder or zip of '
        'offsets, or CONFIG:CKPT of a SegFix network',
    )
    parser.add_argument('--segfix-scale', type=int, metavar='S', help='offsets times S (default 2)')


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
        **segfix_source(args.segfix),
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
            f'{" ".join(asked)} out; tools/segfix.py predict writes its offsets'
        )


def segfix_source(text: str) -> dict:
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
    return dict(network=dict(config=f'{config}.py', checkpoint=checkpoint))


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
