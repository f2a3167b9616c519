"""``tools/test.py --show-attention DIR``: one sheet per image of a multi-scale network.

Images of predictions: image, ground truth, prediction and errors side by side.
"""

import argparse
import os
from collections.abc import Sequence

import cv2
import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.structures import BaseDataElement

from openseg_plugin.errors import ConfigError
from openseg_plugin.registry import HOOKS
from openseg_plugin.report.attention_sheet import ScaleView, draw_attention_sheet
from openseg_plugin.report.panel import draw_panel
from openseg_plugin.utils.palette import distinct_colors


@HOOKS.register_module()
class OverlayHook(Hook):
    """Writes one panel per tested image: ``folder/<stem>.jpg``.

    Args:
        folder: made if it is not there.
        ignore_index: label value that is left out.
    """

    def __init__(self, folder: str, *, ignore_index: int = 255) -> None:
        self.folder = folder
        self.ignore_index = ignore_index

    def before_test(self, runner) -> None:
        """Makes the folder."""
        os.makedirs(self.folder, exist_ok=True)

    def after_test_iter(
        self,
        runner,
        batch_idx: int,
        data_batch: dict | None = None,
        outputs: Sequence[BaseDataElement] | None = None,
    ) -> None:
        """Draws the predictions of one batch."""
        metainfo = runner.test_dataloader.dataset.metainfo
        for sample in outputs:
            path = sample.metainfo['img_path']
            image = cv2.imread(path, cv2.IMREAD_COLOR)
            label = None
            if 'gt_sem_seg' in sample:
                label = sample.gt_sem_seg.data[0].cpu().numpy()
            before = None
            if 'pred_before_segfix' in sample:
                before = sample.pred_before_segfix.data[0].cpu().numpy()
            stem = os.path.splitext(os.path.basename(path))[0]
            panel = draw_panel(
                cv2.cvtColor(image, cv2.COLOR_BGR2RGB),
                label,
                sample.pred_sem_seg.data[0].cpu().numpy(),
                metainfo.get('palette') or distinct_colors(len(metainfo['classes'])),
                metainfo['classes'],
                ignore_index=self.ignore_index,
                title=stem,
                before=before,
            )
            file = os.path.join(self.folder, f'{stem}.jpg')
            if not cv2.imwrite(file, cv2.cvtColor(panel, cv2.COLOR_RGB2BGR)):
                raise ConfigError(f'{file} cannot be written: give another --show-dir')

    def after_test(self, runner) -> None:
        """Says where the panels are."""
        runner.logger.info(f'images are in {self.folder}')


def add_attention_option(parser: argparse.ArgumentParser) -> None:
    """Adds ``--show-attention``."""
    parser.add_argument(
        '--show-attention',
        metavar='DIR',
        help='draw attention and prediction of every scale there (multi-scale networks)',
    )


def set_attention(cfg: Config, args: argparse.Namespace) -> None:
    """Adds the hook where it is asked for.

    Raises:
        ConfigError: together with ``--aug-test``, whose views have sheets of their own.
    """
    if args.show_attention is None:
        return
    if args.aug_test:
        raise ConfigError('--show-attention draws the plain test: leave --aug-test out')
    hook = dict(type='openseg_plugin.AttentionHook', folder=args.show_attention)
    cfg.custom_hooks = [*(cfg.get('custom_hooks') or []), hook]


@HOOKS.register_module()
class AttentionHook(Hook):
    """Writes ``folder/<stem>.jpg`` per tested image; the passes are computed once more for it.

    Args:
        folder: made if it is not there.
    """

    def __init__(self, folder: str) -> None:
        self.folder = folder

    def before_test(self, runner) -> None:
        """Makes the folder.

        Raises:
            ConfigError: the model has no scales.
        """
        model = getattr(runner.model, 'module', runner.model)
        if not hasattr(model, 'scale_views'):
            raise ConfigError(
                f'--show-attention needs a multi-scale network, but the model is a '
                f'{type(model).__name__}: take a config of configs/hmsa or leave it out'
            )
        os.makedirs(self.folder, exist_ok=True)

    @torch.no_grad()
    def after_test_iter(
        self,
        runner,
        batch_idx: int,
        data_batch: dict | None = None,
        outputs: Sequence[BaseDataElement] | None = None,
    ) -> None:
        """Draws one batch."""
        model = getattr(runner.model, 'module', runner.model)
        metainfo = runner.test_dataloader.dataset.metainfo
        inputs = model.data_preprocessor(data_batch, False)['inputs']
        for sample, views in zip(outputs, model.scale_views(inputs, outputs)):
            path = sample.metainfo['img_path']
            stem = os.path.splitext(os.path.basename(path))[0]
            sheet = draw_attention_sheet(
                cv2.cvtColor(cv2.imread(path, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB),
                sample.pred_sem_seg.data[0].cpu().numpy(),
                [
                    ScaleView(
                        scale,
                        None if attention is None else attention.float().cpu().numpy(),
                        labels.cpu().numpy(),
                    )
                    for scale, attention, labels in views
                ],
                metainfo['palette'],
                metainfo['classes'],
                title=stem,
            )
            file = os.path.join(self.folder, f'{stem}.jpg')
            if not cv2.imwrite(file, cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR)):
                raise ConfigError(f'{file} cannot be written: give another --show-attention')

    def after_test(self, runner) -> None:
        """Says where the sheets are."""
        runner.logger.info(f'attention sheets are in {self.folder}')
